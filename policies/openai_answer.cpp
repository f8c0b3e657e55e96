// Answers of OpenAI-compatible servers: vLLM, SGLang, llama-server, OpenAI itself and their kin
// differ in where they put reasoning, token ids and tool-call arguments.
//
// Blind spot: only the first choice is read.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <set>

#include "policies/openai_wire.h"
#include "runtime/core/unicode.h"

namespace proctor::openai {
namespace {

constexpr std::size_t kMostCalls = 128;

const json::value* find(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value && !value->is_null() ? value : nullptr;
}
const json::object* find_object(const json::object& object, std::string_view name) {
  const auto* value = find(object, name);
  return value ? value->if_object() : nullptr;
}
const json::array* find_array(const json::object& object, std::string_view name) {
  const auto* value = find(object, name);
  return value ? value->if_array() : nullptr;
}
std::string_view find_text(const json::object& object, std::string_view name) {
  const auto* value = find(object, name);
  const auto* text = value ? value->if_string() : nullptr;
  return text ? std::string_view(*text) : std::string_view();
}
std::optional<std::int64_t> find_integer(const json::object& object, std::string_view name) {
  const auto* value = find(object, name);
  if (value && value->is_int64()) return value->get_int64();
  return std::nullopt;
}

std::int64_t index_of(const json::object& choice) {
  return find_integer(choice, "index").value_or(0);
}

// The choice of the lowest index: servers need not keep the order, nor count from 0. Null where one
// is no object.
const json::object* first_of(const json::array& choices) {
  const json::object* first = nullptr;
  for (const auto& choice : choices) {
    const auto* object = choice.if_object();
    if (!object) return nullptr;
    if (!first || index_of(*object) < index_of(*first)) first = object;
  }
  return first;
}

// A number of tokens; what is none counts as not said.
std::int64_t find_count(const json::object& object, std::string_view name) {
  return std::max<std::int64_t>(find_integer(object, name).value_or(0), 0);
}

std::optional<std::vector<std::int32_t>> read_ids(const json::object& object,
                                                  std::string_view name) {
  const auto* array = find_array(object, name);
  if (!array) return std::nullopt;
  std::vector<std::int32_t> ids;
  ids.reserve(array->size());
  for (const json::value& item : *array) {
    if (!item.is_int64() || item.get_int64() < 0 || item.get_int64() > INT32_MAX)
      return std::nullopt;
    ids.push_back(static_cast<std::int32_t>(item.get_int64()));
  }
  return ids;
}

// Nothing for what is no log-probability. Some servers round above 0; -inf comes as a very small
// number (-9999).
std::optional<float> as_logprob(const json::value* value) {
  if (!value || !value->is_number()) return std::nullopt;
  const auto number = value->to_number<double>();
  if (!(number >= -1e9 && number <= 1e-3)) return std::nullopt;
  return static_cast<float>(std::min(number, 0.0));
}

// What some servers write and JSON does not have: a byte order mark, NaN and Infinity (which become
// null), halves of surrogate pairs and bytes that are no UTF-8 (which become U+FFFD).
std::string mended(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const auto unit = [text](std::size_t at) -> unsigned long {  // of "\uXXXX"; 0: none
    if (text.substr(at, 2) != "\\u" || at + 6 > text.size()) return 0;
    return std::strtoul(std::string(text.substr(at + 2, 4)).c_str(), nullptr, 16);
  };
  std::string out;
  bool in_string = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    std::size_t length = 1;
    if (!in_string) {
      for (std::string_view word : {"NaN", "-Infinity", "Infinity"})
        if (rest.starts_with(word)) length = word.size();
      in_string = rest[0] == '"';
      out += length > 1 ? "null" : rest.substr(0, 1);
    } else if (rest[0] == '\\') {
      const bool high = unit(at) >= 0xd800 && unit(at) < 0xdc00;
      const bool pair = high && unit(at + 6) >= 0xdc00 && unit(at + 6) < 0xe000;
      const bool half = !pair && unit(at) >= 0xd800 && unit(at) < 0xe000;
      length = pair ? 12 : half ? 6 : std::min<std::size_t>(2, rest.size());
      out += half ? "\\ufffd" : rest.substr(0, length);
    } else {
      const Character character = decode(text, at);
      length = character.bytes;
      append_utf8(out, character.point);
      in_string = rest[0] != '"';
    }
    at += length;
  }
  return out;
}

struct Parsed {
  alignas(16) unsigned char buffer[16384];
  json::monotonic_resource memory{buffer, sizeof buffer};
  json::value value;
};

// Into stack memory first: most answers are small and short-lived.
Result<const json::object*> parse_object(std::string_view text, Parsed& into) {
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 64;
  into.value = json::parse(text, error, &into.memory, options);
  if (error) into.value = json::parse(mended(text), error, &into.memory, options);
  if (error) return unavailable("the answer is no JSON (" + error.message() + ")");
  const auto* object = into.value.if_object();
  if (!object) return unavailable("the answer is no JSON object");
  return object;
}

std::string one_line(std::string_view text, std::size_t most) {
  std::string line;
  for (const char c : text.substr(0, most))
    line += static_cast<unsigned char>(c) < ' ' || c == 127 ? ' ' : c;
  while (!line.empty() && static_cast<unsigned char>(line.back()) >= 0x80 && text.size() > most)
    line.pop_back();
  if (text.size() > most) line += "...";
  return line;
}

}  // namespace

std::string error_message(std::string_view body) {
  Parsed parsed;
  if (auto root = parse_object(body, parsed)) {
    if (const auto* error = find_object(**root, "error"))
      if (const auto message = find_text(*error, "message"); !message.empty())
        return one_line(message, 400);
    for (const char* name : {"message", "error", "detail"})
      if (const auto text = find_text(**root, name); !text.empty()) return one_line(text, 400);
    if (const auto* detail = find(**root, "detail")) return one_line(json::serialize(*detail), 400);
  }
  return one_line(body, 160);
}

int fewer_tokens(std::string_view message, std::int64_t context, int asked) {
  constexpr int kLeast = 64;  // fewer make no turn
  if (asked <= kLeast || message.find("must be at least 1,") != std::string_view::npos) return 0;
  std::set<std::int64_t> numbers;
  const std::size_t naming = message.find("context");
  bool named = false;
  for (std::size_t at = 0; at < message.size(); ++at) {
    if (message[at] < '0' || message[at] > '9') continue;
    std::int64_t number = 0;
    const char* from = message.data() + at;
    const auto read = std::from_chars(from, message.data() + message.size(), number);
    const bool of_context = !named && at > naming;
    at = static_cast<std::size_t>(read.ptr - message.data());
    if (read.ec != std::errc()) continue;
    if (of_context) {
      context = number;
      named = true;
    }
    numbers.insert(number);
  }
  // Servers word it in many ways, but the prompt's length is there: what is too long together with
  // `asked`, and is not the sum of the two.
  for (const std::int64_t prompt : numbers) {
    if (context <= 0 || prompt == context || prompt == asked || prompt + asked <= context) continue;
    if (prompt - asked != context && numbers.contains(prompt - asked)) continue;
    const std::int64_t room = context - prompt;
    return room < kLeast ? 0 : static_cast<int>(room);
  }
  return std::max(kLeast, asked / 2);
}

void AnswerReader::add_text(std::string_view piece) {
  if (piece.empty()) return;
  generation_.content += piece;
  if (!on_text_) return;
  told_ = true;
  on_text_(piece);
}

void AnswerReader::take_text(const json::value* content) {
  if (!content) return;
  if (const auto* text = content->if_string()) return add_text(*text);
  const auto* parts = content->if_array();
  if (!parts) return;
  for (const json::value& part : *parts) {
    const auto* object = part.if_object();
    if (!object) continue;
    add_text(find_text(*object, "text"));
    take_refusal(*object);
  }
}

// OpenAI has a field of its own for what a model says when it refuses.
void AnswerReader::take_refusal(const json::object& said) {
  const auto text = find_text(said, "refusal");
  if (text.empty()) return;
  generation_.extra["refusal"] = true;
  add_text(text);
}

void AnswerReader::take_malformed(const json::value& calls) {
  std::string text = json::serialize(calls);
  const bool none = text == "null" || text == "false" || text == "{}" || text == "\"\"";
  if (!none && malformed_calls_.size() < kMostCalls) malformed_calls_.push_back(std::move(text));
}

void AnswerReader::take_calls(const json::array& calls, bool delta) {
  for (const json::value& item : calls) {
    const auto* object = item.if_object();
    const auto* function = object ? find_object(*object, "function") : nullptr;
    const auto type = object ? find_text(*object, "type") : "";
    const bool goes_on = object && delta && (type.empty() || type == "function");
    if (!function && !goes_on) {
      take_malformed(item);
      continue;
    }
    const std::string_view id = find_text(*object, "id");
    std::size_t index = calls_.size();
    if (const auto given = find_integer(*object, "index"); given && *given >= 0)
      index = static_cast<std::size_t>(*given);
    else if (id.empty() && !calls_.empty())
      index = calls_.back().index;
    // A piece goes on with the last call of its index, unless it names another one: some servers
    // give all calls the same index.
    auto place = std::find_if(calls_.rbegin(), calls_.rend(),
                              [index](const Call& call) { return call.index == index; });
    const bool named = function && !find_text(*function, "name").empty();
    if (!delta || place == calls_.rend() || (named && !id.empty() && place->id != id)) {
      if (calls_.size() >= kMostCalls) {
        too_many_calls_ = true;
        continue;
      }
      calls_.push_back({.index = index});
      place = calls_.rbegin();
    }
    Call& call = *place;
    if (!id.empty()) call.id = id;
    if (!function) continue;
    // Some servers say the whole name again with each piece.
    if (const auto name = find_text(*function, "name"); name != call.name) call.name += name;
    if (const auto* arguments = find(*function, "arguments")) {
      if (const auto* text = arguments->if_string())
        call.arguments += std::string_view(*text);
      else if (const auto* given = arguments->if_object())
        call.object = json::object(*given, {});
      else
        call.arguments += json::serialize(*arguments);  // is told that it is no object
    }
  }
}

void AnswerReader::take_ids(const json::object& root, const json::object& choice) {
  for (const json::object* place : {&root, &choice}) {
    auto ids = prompt_ids_ ? std::nullopt : read_ids(*place, "prompt_token_ids");
    if (ids && !ids->empty()) prompt_ids_ = std::move(ids);
  }
  if (auto ids = read_ids(choice, "token_ids")) ids_.insert(ids_.end(), ids->begin(), ids->end());
}

void AnswerReader::take_logprobs(const json::object& logprobs) {
  if (const auto* content = find_array(logprobs, "content")) {
    for (const json::value& item : *content) {
      const auto* object = item.if_object();
      const auto logprob = as_logprob(object ? find(*object, "logprob") : nullptr);
      if (!logprob) continue;
      logprobs_.push_back(*logprob);
      // A token may end within a character: only its bytes say so.
      if (const auto* bytes = find_array(*object, "bytes"))
        for (const json::value& byte : *bytes)
          sampled_ += static_cast<char>(byte.is_int64() ? byte.get_int64() : 0);
      else
        sampled_ += find_text(*object, "token");
      ends_.push_back(sampled_.size());
    }
  } else if (const auto* values = find_array(logprobs, "token_logprobs")) {
    for (const json::value& value : *values)
      if (const auto logprob = as_logprob(&value)) logprobs_.push_back(*logprob);
    const auto* texts = find_array(logprobs, "tokens");
    if (!texts || texts->size() != values->size()) return;
    for (const json::value& text : *texts) {
      if (const auto* token = text.if_string()) sampled_ += std::string_view(*token);
      ends_.push_back(sampled_.size());
    }
  }
}

// Token texts are servers' own: they count only where they spell what the answer says. Calls that
// the server took out of the text leave no trace of where they stood.
void AnswerReader::place_tokens() {
  if (ends_.size() != generation_.tokens->ids.size() || !calls_.empty()) return;
  std::size_t from = 0;
  if (generation_.reasoning) {
    constexpr std::string_view kBlank = " \n\r\t", kClose = "</think>";
    const std::size_t thought = sampled_.find(*generation_.reasoning);
    if (thought == std::string::npos) return;
    const std::size_t thought_end = thought + generation_.reasoning->size();
    from = sampled_.find(kClose, thought_end);
    if (from == std::string::npos || sampled_.find_first_not_of(kBlank, thought_end) != from)
      return;
    from += kClose.size();
    if (!generation_.content.starts_with('\n'))
      from = std::min(sampled_.find_first_not_of(kBlank, from), sampled_.size());
  }
  if (sampled_.compare(from, generation_.content.size(), generation_.content) != 0) return;
  generation_.token_ends = std::move(ends_);
  generation_.content_from = from;
}

void AnswerReader::take_usage(const json::object& usage) {
  generation_.prompt_tokens = find_count(usage, "prompt_tokens");
  generation_.completion_tokens = find_count(usage, "completion_tokens");
  if (const auto* details = find_object(usage, "prompt_tokens_details"))
    generation_.cached_tokens = find_count(*details, "cached_tokens");
}

// llama-server's own /completion. It takes the stop string off the text and says which it was.
void AnswerReader::take_completion(const json::object& root) {
  choice_ = 0;
  any_message_ = true;
  take_text(find(root, "content"));
  if (auto ids = read_ids(root, "tokens")) ids_.insert(ids_.end(), ids->begin(), ids->end());
  if (const auto* list = find_array(root, "completion_probabilities"))
    take_logprobs(json::object{{"content", *list}});
  if (root.at("stop") != true) return;
  add_text(find_text(root, "stopping_word"));
  generation_.finish_reason = find_text(root, "stop_type") == "limit" ? "length" : "stop";
  generation_.prompt_tokens = find_count(root, "tokens_evaluated");
  generation_.completion_tokens = find_count(root, "tokens_predicted");
  if (const auto* timings = find_object(root, "timings"))
    generation_.cached_tokens = find_count(*timings, "cache_n");
}

Status AnswerReader::take(const json::object& root, bool delta) {
  if (const auto* error = find(root, "error")) {
    const auto* object = error->if_object();
    const auto message = object ? find_text(*object, "message") : find_text(root, "error");
    return unavailable("the server reports: " + one_line(message, 400));
  }
  if (const auto* usage = find_object(root, "usage")) take_usage(*usage);
  if (find(root, "stop") && find(root, "content")) {
    take_completion(root);
    return {};
  }
  const auto* choices = find_array(root, "choices");
  if (!choices || choices->empty()) return {};  // the chunk with usage alone
  const auto* choice = first_of(*choices);
  if (!choice) return unavailable("the answer's choices are no objects");
  if (delta && choice_ && index_of(*choice) != *choice_) {
    if (index_of(*choice) > *choice_) return {};
    drop_choice();
  }
  choice_ = index_of(*choice);
  const auto* message = find_object(*choice, delta ? "delta" : "message");
  if (!message && delta) message = find_object(*choice, "message");
  any_message_ = any_message_ || message || find(*choice, "text");
  if (message) {
    for (const char* name : {"reasoning_content", "reasoning"})
      if (const auto text = find_text(*message, name); !text.empty()) {
        if (!generation_.reasoning) generation_.reasoning.emplace();
        *generation_.reasoning += text;
        break;
      }
    const auto* content = find(*message, "content");
    if (content && !content->is_string() && !content->is_array())
      return unavailable("the answer's content is no text");
    take_text(content);
    take_refusal(*message);
    const auto* given = find(*message, "tool_calls");
    const auto* calls = given ? given->if_array() : nullptr;
    if (given && !calls) take_malformed(*given);
    if (calls && !calls->empty())
      take_calls(*calls, delta);
    else if (const auto* call =
                 find_object(*message, "function_call"))  // before there were several
      take_calls(json::array{json::object{{"index", 0}, {"function", *call}}}, delta);
  }
  take_text(find(*choice, "text"));
  if (const auto* logprobs = find_object(*choice, "logprobs")) take_logprobs(*logprobs);
  take_ids(root, *choice);
  if (const auto reason = find_text(*choice, "finish_reason"); !reason.empty())
    generation_.finish_reason = reason;
  return {};
}

// A stream that began with another choice than the one of the lowest index. What was told of it
// stays told.
void AnswerReader::drop_choice() {
  generation_.content.clear();
  generation_.reasoning.reset();
  generation_.finish_reason.clear();
  generation_.extra.clear();
  calls_.clear();
  malformed_calls_.clear();
  too_many_calls_ = false;
  ids_.clear();
  logprobs_.clear();
  sampled_.clear();
  ends_.clear();
}

Status AnswerReader::take_whole(std::string_view body) {
  Parsed parsed;
  auto root = parse_object(body, parsed);
  if (!root) return std::move(root).error();
  return take(**root, false);
}

Status AnswerReader::take_event(std::string_view data, std::string_view name) {
  streamed_ = true;
  if (done_) return {};
  if (name == "error") return unavailable("the server reports: " + error_message(data));
  if (data == "[DONE]") {
    done_ = true;
    return {};
  }
  Parsed parsed;
  auto root = parse_object(data, parsed);
  if (!root) return std::move(root).error();
  return take(**root, true);
}

// Arguments that are no JSON object make the turn a parse error, which the policy gets to read.
void AnswerReader::close_calls() {
  std::stable_sort(calls_.begin(), calls_.end(),
                   [](const Call& a, const Call& b) { return a.index < b.index; });
  json::array broken;
  for (Call& call : calls_) {
    if (call.name.empty() && call.arguments.empty() && !call.object) continue;
    ToolCall made;
    made.id = call.id.empty() ? "c" + std::to_string(generation_.tool_calls.size()) : call.id;
    made.name = call.name;
    if (call.object) {
      made.arguments = std::move(*call.object);
    } else if (call.arguments.find_first_not_of(" \t\r\n") != std::string::npos) {
      auto parsed = parse_json(call.arguments);
      if (!parsed || !parsed->is_object()) {
        // The text goes nowhere else: neither the server nor the conversation keeps it.
        generation_.parse_error = "the arguments of the call to '" + call.name +
                                  "' are no JSON object" +
                                  (parsed ? "" : ": " + parsed.error().message) +
                                  "; they were: " + one_line(call.arguments, 400);
        broken.push_back({{"name", call.name}, {"arguments", call.arguments}});
        continue;
      }
      made.arguments = std::move(parsed->get_object());
    }
    if (made.name.empty()) {
      generation_.parse_error = "a tool call has no name";
      continue;
    }
    generation_.tool_calls.push_back(std::move(made));
  }
  for (const std::string& call : malformed_calls_) {
    generation_.parse_error = "the tool_calls are malformed; they were: " + one_line(call, 400);
    broken.push_back({{"name", ""}, {"arguments", call}});
  }
  if (too_many_calls_)
    generation_.parse_error = "the turn makes more than " + std::to_string(kMostCalls) +
                              " tool calls; make fewer at once";
  if (!broken.empty()) generation_.extra["broken_calls"] = std::move(broken);
}

Result<Generation> AnswerReader::finish() {
  if (!choice_) {
    return unavailable(streamed_ ? "the event stream ended before any text"
                                 : "the answer has no choices");
  }
  if (!any_message_) return unavailable("the answer has no message");
  if (streamed_ && !done_ && generation_.finish_reason.empty())
    return unavailable("the event stream ended in the middle of the answer");
  for (const char* reason : {"abort", "error", "cancelled"})
    if (generation_.finish_reason == reason)
      return unavailable("the server gave the answer up (" + generation_.finish_reason + ")");
  close_calls();
  if (generation_.finish_reason.empty())
    generation_.finish_reason = calls_.empty() ? "stop" : "tool_calls";
  if (generation_.finish_reason == "function_call") generation_.finish_reason = "tool_calls";
  // Servers that parse tool calls out of text say "stop" at times.
  if (!generation_.tool_calls.empty() && generation_.finish_reason == "stop")
    generation_.finish_reason = "tool_calls";
  // Ids count only when they are all there; log-probabilities only beside ids.
  const auto sampled = static_cast<std::size_t>(generation_.completion_tokens);
  const bool all = sampled == 0 || ids_.size() == sampled;
  if (logprobs_.size() != ids_.size()) logprobs_.clear();
  // What the server says it saw is what counts; what was sent only where it says nothing else.
  const auto seen = static_cast<std::size_t>(generation_.prompt_tokens);
  if (!prompt_ids_ && sent_ids_ && (seen == 0 || seen == sent_ids_->size()))
    prompt_ids_ = std::move(sent_ids_);
  if (prompt_ids_ && !ids_.empty() && all) {
    auto& tokens = generation_.tokens.emplace();
    tokens.prompt_ids = std::move(*prompt_ids_);
    tokens.ids = std::move(ids_);
    tokens.logprobs = std::move(logprobs_);
    place_tokens();
  }
  return std::move(generation_);
}

Result<std::vector<double>> prompt_logprobs(std::string_view body,
                                            const std::vector<std::int32_t>& prompt,
                                            std::size_t from) {
  auto root = parse_json(body);
  if (!root) return unavailable("the answer is no JSON");
  const auto* object = root->if_object();
  const auto* choices = object ? find_array(*object, "choices") : nullptr;
  const auto* choice = choices && !choices->empty() ? choices->front().if_object() : nullptr;
  const auto* list = choice ? find_array(*choice, "prompt_logprobs") : nullptr;
  if (!list && object) list = find_array(*object, "prompt_logprobs");
  if (!list) return missing("the server gives no log-probabilities of given text");
  if (list->size() != prompt.size())
    return unavailable("the server scored " + std::to_string(list->size()) + " tokens of " +
                       std::to_string(prompt.size()));
  std::vector<double> values;
  for (std::size_t i = from; i < prompt.size(); ++i) {
    const auto* by_id = (*list)[i].if_object();
    const auto* entry = by_id ? find_object(*by_id, std::to_string(prompt[i])) : nullptr;
    const auto* value = entry ? find(*entry, "logprob") : nullptr;
    if (!value || !value->is_number())
      return unavailable("the server gives no log-probability for token " + std::to_string(i));
    values.push_back(value->to_number<double>());
  }
  return values;
}

Result<Score> echoed_score(std::string_view body, std::size_t from, std::size_t end) {
  auto root = parse_json(body);
  if (!root) return unavailable("the answer is no JSON");
  const auto* object = root->if_object();
  const auto* choices = object ? find_array(*object, "choices") : nullptr;
  const auto* choice = choices && !choices->empty() ? choices->front().if_object() : nullptr;
  const auto* logprobs = choice ? find_object(*choice, "logprobs") : nullptr;
  const auto* tokens = logprobs ? find_array(*logprobs, "tokens") : nullptr;
  const auto* values = logprobs ? find_array(*logprobs, "token_logprobs") : nullptr;
  const auto* offsets = logprobs ? find_array(*logprobs, "text_offset") : nullptr;
  if (!tokens || !values || !offsets || tokens->size() != values->size() ||
      tokens->size() != offsets->size())
    return missing("the server does not echo log-probabilities of given text");
  Score score;
  for (std::size_t i = 0; i < tokens->size(); ++i) {
    const auto* text = (*tokens)[i].if_string();
    const auto* offset = (*offsets)[i].if_int64();
    if (!text || !offset || *offset < 0) return unavailable("the echoed tokens are not readable");
    const auto begin = static_cast<std::size_t>(*offset);
    const std::size_t past = i + 1 < offsets->size() && (*offsets)[i + 1].is_int64()
                                 ? static_cast<std::size_t>((*offsets)[i + 1].get_int64())
                                 : end;
    if (past <= from || begin >= end) continue;
    if (!(*values)[i].is_number())
      return unavailable("the first token has no log-probability: give a prompt before it");
    score.logprobs.push_back((*values)[i].to_number<double>());
    score.texts.emplace_back(*text);
  }
  score.prompt_tokens = static_cast<std::int64_t>(tokens->size());
  return score;
}

void restore_stop(std::string& content, const std::vector<std::string>& stop) {
  for (const std::string& each : stop) {
    if (!each.starts_with("</") || !each.ends_with('>')) continue;
    const std::string opening = "<" + each.substr(2);
    const std::size_t open = content.rfind(opening);
    if (open == std::string::npos || content.find(each, open) != std::string::npos) continue;
    content += each;
    return;
  }
}

}  // namespace proctor::openai
