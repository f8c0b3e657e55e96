// script — canned answers from a file of rules, for tests, demonstrations and replay.
//
// One rule a line, the first that matches answers. With `script:FILE.jsonl?tokens=bytes` (or a
// first line {"tokens":"bytes"}) it keeps token ids like a real server: one id a byte, 256 and 257
// around each message, the sampled turn ended by 257; ids already seen are continued, never redone.
// Blind spot: `times` counts over all rollouts, so which of two concurrent ones gets the last is
// chance.
#include <atomic>
#include <filesystem>
#include <limits>
#include <mutex>

#include "policies/model.h"
#include "runtime/core/registry.h"

namespace proctor {
namespace {

struct Match {
  std::optional<std::string> task_id;
  std::optional<std::int64_t> sample;
  std::optional<std::int64_t> turn;
  std::optional<std::int64_t> candidate;
  std::optional<std::string> purpose;
  std::vector<std::string> contains;
  std::optional<std::string> continuation;
};

struct Rule {
  std::size_t line = 0;
  Match match;
  std::optional<std::string> content;
  std::optional<std::string> reasoning;
  std::vector<ToolCall> tool_calls;
  std::string finish_reason;
  std::vector<float> logprobs;
  std::optional<std::vector<double>> score;
  std::optional<std::vector<float>> embedding;
  std::optional<std::string> error;
  Milliseconds delay{0};
  std::optional<std::int64_t> times;

  bool answers_generate() const { return content || !tool_calls.empty() || reasoning || error; }
};

struct Script {
  std::vector<Rule> rules;
  bool byte_tokens = false;
  std::int64_t context = 0;
};

constexpr std::int32_t kOpen = 256;
constexpr std::int32_t kClose = 257;

// Keys outside `known` are a mistake in the file, most often a misspelt one.
Status refuse_unknown(const Fields& fields, const std::vector<std::string>& known) {
  for (const auto& [key, value] : fields.rest())
    return bad_input("unknown key '" + std::string(key) + "'" + nearest_hint(key, known));
  return {};
}

Result<std::vector<double>> read_numbers(const json::value& value, std::string_view name) {
  const auto* array = value.if_array();
  if (!array) return bad_input(std::string(name) + ": expected a list of numbers");
  std::vector<double> numbers;
  for (const json::value& item : *array) {
    // null stands for "not a number", so that a script can play a broken scorer.
    if (!item.is_number() && !item.is_null())
      return bad_input(std::string(name) + ": expected a list of numbers");
    numbers.push_back(item.is_null() ? std::numeric_limits<double>::quiet_NaN()
                                     : item.to_number<double>());
  }
  return numbers;
}

Result<Match> read_match(const json::object& object) {
  Match match;
  Fields fields(object, "match");
  match.task_id = fields.optional_text("task_id");
  match.sample = fields.optional_integer("sample");
  match.turn = fields.optional_integer("turn");
  match.candidate = fields.optional_integer("candidate");
  match.purpose = fields.optional_text("purpose");
  match.continuation = fields.optional_text("continuation");
  if (const json::value contains = fields.any("contains"); contains.is_string())
    match.contains = {json::value_to<std::string>(contains)};
  else
    match.contains = fields.texts_or_empty("contains");
  if (!fields.status()) return fields.status().error();
  if (auto status = refuse_unknown(fields, {"task_id", "sample", "turn", "candidate", "purpose",
                                            "contains", "continuation"});
      !status)
    return std::move(status).error().in("match");
  return match;
}

Result<std::vector<ToolCall>> read_calls(const json::array& array) {
  std::vector<ToolCall> calls;
  for (const json::value& item : array) {
    const std::string index = std::to_string(calls.size());
    json::value with_id = item;
    if (auto* object = with_id.if_object(); object && !object->contains("id"))
      (*object)["id"] = "c" + index;
    auto call = read_tool_call(with_id, "tool_calls[" + index + "]");
    if (!call) return std::move(call).error();
    calls.push_back(std::move(*call));
  }
  return calls;
}

Result<Rule> read_rule(const json::value& value, std::size_t line) {
  const auto* object = value.if_object();
  if (!object) return bad_input("expected a rule: an object with match and content");
  Rule rule;
  rule.line = line;
  Fields fields(*object, "");
  if (const auto* match = fields.optional_object("match")) {
    auto read = read_match(*match);
    if (!read) return std::move(read).error();
    rule.match = std::move(*read);
  }
  rule.content = fields.optional_text("content");
  rule.reasoning = fields.optional_text("reasoning");
  rule.error = fields.optional_text("error");
  rule.finish_reason = fields.text_or("finish_reason", "");
  rule.delay = Milliseconds(fields.integer_or("delay_ms", 0));
  rule.times = fields.optional_integer("times");
  if (const auto* calls = fields.optional_array("tool_calls")) {
    auto read = read_calls(*calls);
    if (!read) return std::move(read).error();
    rule.tool_calls = std::move(*read);
  }
  for (const char* name : {"logprobs", "score", "embedding"}) {
    const json::value given = fields.any(name);
    if (given.is_null()) continue;
    auto numbers = read_numbers(given, name);
    if (!numbers) return std::move(numbers).error();
    if (std::string_view(name) == "score")
      rule.score = std::move(*numbers);
    else if (std::string_view(name) == "logprobs")
      rule.logprobs.assign(numbers->begin(), numbers->end());
    else
      rule.embedding.emplace(numbers->begin(), numbers->end());
  }
  if (!fields.status()) return fields.status().error();
  if (auto status =
          refuse_unknown(fields, {"match", "content", "reasoning", "tool_calls", "finish_reason",
                                  "logprobs", "score", "embedding", "error", "delay_ms", "times"});
      !status)
    return std::move(status).error();
  if (rule.delay < Milliseconds(0)) return bad_input("delay_ms: expected 0 or more");
  if (rule.times && *rule.times < 0) return bad_input("times: expected 0 or more");
  if (!rule.answers_generate() && !rule.score && !rule.embedding)
    return bad_input("the rule answers nothing: give content, tool_calls, score or embedding");
  return rule;
}

bool is_tokens_line(const json::value& value) {
  const auto* object = value.if_object();
  return object && object->size() == 1 && object->contains("tokens");
}

Result<Script> read_script(const std::string& path) {
  Script script;
  bool first = true;
  auto read = read_jsonl(path, [&](json::value value, std::size_t line) -> Status {
    if (std::exchange(first, false) && is_tokens_line(value)) {
      if (value.at("tokens") != "bytes") return bad_input("tokens: expected \"bytes\"");
      script.byte_tokens = true;
      return {};
    }
    auto rule = read_rule(value, line);
    if (!rule) return std::move(rule).error();
    script.rules.push_back(std::move(*rule));
    return {};
  });
  if (!read) return std::move(read).error();
  return script;
}

std::string text_of(const std::vector<Message>& messages) {
  std::string text;
  for (const Message& message : messages) {
    text += message.text();
    text += '\n';
    for (const ToolCall& call : message.tool_calls) {
      text += call.name + " " + json::serialize(call.arguments) + "\n";
    }
  }
  return text;
}

// The last characters, cut at a character's start.
std::string end_of(const std::string& text, std::size_t most) {
  std::size_t from = text.size() > most ? text.size() - most : 0;
  while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xc0) == 0x80) ++from;
  return text.substr(from);
}

void append_bytes(std::vector<std::int32_t>& ids, std::string_view text) {
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
}

std::string calls_as_text(const std::vector<ToolCall>& calls) {
  std::string text;
  for (const ToolCall& call : calls) text += json::serialize(to_json(call));
  return text;
}

std::vector<std::int32_t> prompt_ids(const GenerateRequest& request) {
  std::vector<std::int32_t> ids = request.seen_ids;
  const std::size_t seen =
      ids.empty() ? 0 : std::min(request.seen_messages, request.messages.size());
  if (!ids.empty() && ids.back() != kClose) ids.push_back(kClose);
  for (std::size_t i = seen; i < request.messages.size(); ++i) {
    const Message& message = request.messages[i];
    ids.push_back(kOpen);
    append_bytes(ids, message.role + "\n" + message.text() + calls_as_text(message.tool_calls));
    ids.push_back(kClose);
  }
  ids.push_back(kOpen);
  append_bytes(ids, "assistant\n");
  return ids;
}

class ScriptModel final : public Model {
 public:
  ScriptModel(std::string name, Script script, std::size_t max_in_flight)
      : name_(std::move(name)),
        script_(std::move(script)),
        used_(script_.rules.size(), 0),
        limiter_(max_in_flight) {}

  std::string name() const override { return name_; }
  std::string backend() const override { return "script"; }
  Limiter::Usage usage() const override { return limiter_.usage(); }

  Async<Result<Capabilities>> capabilities() override {
    Capabilities can;
    can.native_tools = can.grammar = can.json_schema = can.images = true;
    can.token_ids = script_.byte_tokens;
    can.context = script_.context;
    for (const Rule& rule : script_.rules) {
      can.score |= rule.score.has_value();
      can.embed |= rule.embedding.has_value();
      can.logprobs |= !rule.logprobs.empty();
    }
    can.logprobs |= script_.byte_tokens;
    co_return can;
  }

  Async<Result<Generation>> generate(GenerateRequest request) override {
    const auto asked = std::chrono::steady_clock::now();
    auto lease = co_await limiter_.acquire();
    if (!lease) co_return std::move(lease).error();
    const double queued_ms = to_ms(std::chrono::steady_clock::now() - asked);
    if (request.taken_up) request.taken_up->mark();
    const std::string prompt = text_of(request.messages);
    const Rule* rule = pick(request.asker, prompt, nullptr,
                            [](const Rule& each) { return each.answers_generate(); });
    if (!rule) co_return no_rule(request.asker, prompt, "content or tool_calls");
    const bool late = request.limit > Milliseconds(0) && rule->delay > request.limit;
    const Milliseconds delay = late ? request.limit : rule->delay;
    if (delay > Milliseconds(0)) co_await sleep_for(delay);
    if (late)
      co_return Error{ErrorKind::timeout,
                      name_ + ": no answer in " + std::to_string(delay.count()) + " ms"};
    if (rule->error) co_return unavailable(*rule->error);
    auto turn = answer(*rule, request);
    if (turn) turn->queued_ms = queued_ms;
    co_return turn;
  }

  Async<Result<Score>> score(ScoreRequest request) override {
    auto lease = co_await limiter_.acquire();
    if (!lease) co_return std::move(lease).error();
    const std::string prompt = text_of(request.messages) + request.assistant_prefix;
    const Rule* rule = pick(request.asker, prompt, &request.continuation,
                            [](const Rule& each) { return each.score.has_value(); });
    if (!rule) co_return no_rule(request.asker, prompt, "score");
    if (rule->delay > Milliseconds(0)) co_await sleep_for(rule->delay);
    Score score;
    score.logprobs = *rule->score;
    co_return score;
  }

  Async<Result<std::vector<float>>> embed(std::string text) override {
    auto lease = co_await limiter_.acquire();
    if (!lease) co_return std::move(lease).error();
    Asker asker;
    asker.purpose = "embedder";
    const Rule* rule =
        pick(asker, text, nullptr, [](const Rule& each) { return each.embedding.has_value(); });
    if (!rule) co_return no_rule(asker, text, "embedding");
    if (rule->delay > Milliseconds(0)) co_await sleep_for(rule->delay);
    co_return *rule->embedding;
  }

 private:
  static bool matches(const Match& match, const Asker& asker, const std::string& prompt,
                      const std::string* continuation) {
    if (match.task_id && *match.task_id != asker.task_id) return false;
    if (match.sample && *match.sample != asker.sample) return false;
    if (match.turn && *match.turn != asker.turn) return false;
    if (match.candidate && *match.candidate != asker.candidate) return false;
    if (match.purpose && *match.purpose != asker.purpose) return false;
    if (match.continuation && (!continuation || *match.continuation != *continuation)) return false;
    return std::all_of(match.contains.begin(), match.contains.end(), [&](const std::string& part) {
      return prompt.find(part) != std::string::npos;
    });
  }

  template <class Kind>
  const Rule* pick(const Asker& asker, const std::string& prompt, const std::string* continuation,
                   Kind kind) {
    for (std::size_t i = 0; i < script_.rules.size(); ++i) {
      const Rule& rule = script_.rules[i];
      if (!kind(rule) || !matches(rule.match, asker, prompt, continuation)) continue;
      if (!rule.times) return &rule;
      std::lock_guard lock(mutex_);
      if (used_[i] >= *rule.times) continue;
      ++used_[i];
      return &rule;
    }
    return nullptr;
  }

  Error no_rule(const Asker& asker, const std::string& prompt, const char* kind) const {
    return bad_input("script " + name_ + ": no rule with " + kind + " for task '" + asker.task_id +
                     "', sample " + std::to_string(asker.sample) + ", turn " +
                     std::to_string(asker.turn) + ", " + asker.purpose +
                     "; the prompt ends: " + json::serialize(json::value(end_of(prompt, 160))));
  }

  Result<Generation> answer(const Rule& rule, const GenerateRequest& request) const {
    Generation turn;
    turn.content = rule.content.value_or("");
    turn.reasoning = rule.reasoning;
    turn.tool_calls = rule.tool_calls;
    turn.finish_reason = !rule.finish_reason.empty() ? rule.finish_reason
                         : !rule.tool_calls.empty()  ? "tool_calls"
                                                     : "stop";
    if (!script_.byte_tokens) {
      if (request.on_text && !turn.content.empty()) request.on_text(turn.content);
      return turn;
    }
    TurnTokens tokens;
    tokens.prompt_ids = prompt_ids(request);
    append_bytes(tokens.ids, turn.content + calls_as_text(turn.tool_calls));
    if (turn.finish_reason != "length") tokens.ids.push_back(kClose);
    tokens.logprobs.reserve(tokens.ids.size());
    for (std::size_t i = 0; i < tokens.ids.size(); ++i)
      tokens.logprobs.push_back(!rule.logprobs.empty()
                                    ? rule.logprobs[std::min(i, rule.logprobs.size() - 1)]
                                    : -0.125F * static_cast<float>(1 + tokens.ids[i] % 7));
    turn.prompt_tokens = static_cast<std::int64_t>(tokens.prompt_ids.size());
    turn.cached_tokens = static_cast<std::int64_t>(request.seen_ids.size());
    turn.completion_tokens = static_cast<std::int64_t>(tokens.ids.size());
    if (script_.context > 0 && turn.prompt_tokens >= script_.context)
      return bad_input("context_full: the prompt has " + std::to_string(turn.prompt_tokens) +
                       " tokens, the context " + std::to_string(script_.context));
    if (request.want_tokens) {
      // Of native calls and a thought apart nobody knows where they stood.
      if (turn.tool_calls.empty() && !turn.reasoning)
        for (std::size_t i = 0; i < tokens.ids.size(); ++i)
          turn.token_ends.push_back(std::min(i + 1, turn.content.size()));
      turn.tokens = std::move(tokens);
    }
    if (request.on_text && !turn.content.empty()) request.on_text(turn.content);
    return turn;
  }

  const std::string name_;
  const Script script_;
  std::mutex mutex_;
  std::vector<std::int64_t> used_;  // by rule; guarded by mutex_
  Limiter limiter_;
};

Result<ModelRef> make_script(const ModelConfig& config) {
  std::string path = config.uri.substr(config.uri.find(':') + 1);
  bool byte_tokens = false;
  if (const std::size_t question = path.rfind('?'); question != std::string::npos) {
    if (path.substr(question) != "?tokens=bytes")
      return bad_input("after the file only ?tokens=bytes may stand");
    byte_tokens = true;
    path.resize(question);
  }
  if (path.empty()) return bad_input("expected script:FILE.jsonl");
  Fields settings(config.settings, "");
  const std::int64_t context = settings.integer_or("context", 0);
  const std::int64_t max_in_flight = settings.integer_or("max_in_flight", 1 << 20);
  settings.any("price_in");
  settings.any("price_out");
  settings.any("uri");
  if (!settings.status()) return settings.status().error();
  if (auto status =
          refuse_unknown(settings, {"uri", "context", "max_in_flight", "price_in", "price_out"});
      !status)
    return std::move(status).error();
  if (max_in_flight < 1) return bad_input("max_in_flight: expected 1 or more");
  auto script = read_script(path);
  if (!script) return std::move(script).error();
  script->byte_tokens |= byte_tokens;
  if (context > 0 && !script->byte_tokens)
    return bad_input("context: counts tokens, which a script has with ?tokens=bytes only");
  script->context = context;
  const std::string name = std::filesystem::path(path).stem().string();
  return ModelRef(std::make_shared<ScriptModel>(name, std::move(*script),
                                                static_cast<std::size_t>(max_in_flight)));
}

const bool registered_ = [] {
  Registry<ModelMaker>::instance().add(
      {.name = "script", .summary = "canned answers from a file of rules"}, make_script);
  return true;
}();

}  // namespace
}  // namespace proctor
