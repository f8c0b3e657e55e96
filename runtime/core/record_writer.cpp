// Must say what records.cpp says: a field added there is added here (record_writer_test holds the
// two against each other).
#include "runtime/core/record_writer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace proctor {
namespace {

// Where the first byte at or behind `from` is that JSON wants escaped; the size when there is none.
std::size_t find_special(std::string_view text, std::size_t from) {
#ifdef __SSE2__
  // Most of what is written is text without any: sixteen bytes at a time.
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i last_control = _mm_set1_epi8(0x1f);
  for (; from + 16 <= text.size(); from += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + from));
    const __m128i special =
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
                     _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes));
    if (const int mask = _mm_movemask_epi8(special); mask != 0)
      return from + static_cast<std::size_t>(std::countr_zero(static_cast<unsigned>(mask)));
  }
#endif
  for (; from < text.size(); ++from) {
    const auto letter = static_cast<unsigned char>(text[from]);
    if (letter < 0x20 || letter == '"' || letter == '\\') break;
  }
  return from;
}

void append_text(std::string& out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  std::size_t from = 0;
  for (std::size_t i = find_special(text, 0); i < text.size(); i = find_special(text, i + 1)) {
    const auto letter = static_cast<unsigned char>(text[i]);
    out.append(text, from, i - from);
    from = i + 1;
    switch (letter) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        out += "\\u00";
        out += kDigits[letter >> 4];
        out += kDigits[letter & 15];
    }
  }
  out.append(text, from, text.size() - from);
  out += '"';
}

template <class Integer>
void append_integer(std::string& out, Integer number) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

// As short as reads back to the same float or double; with a point or an exponent, so that it stays
// a fraction for readers that tell the two apart.
template <class Real>
void append_real(std::string& out, Real number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  char digits[40];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  const std::string_view text(digits, static_cast<std::size_t>(end - digits));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

void append(std::string& out, const std::string& text) { append_text(out, text); }
void append(std::string& out, const char* text) { append_text(out, text); }
void append(std::string& out, bool value) { out += value ? "true" : "false"; }
void append(std::string& out, int number) { append_integer(out, number); }
void append(std::string& out, std::int8_t number) { append_integer(out, int{number}); }
void append(std::string& out, std::int64_t number) { append_integer(out, number); }
void append(std::string& out, float number) { append_real(out, number); }
void append(std::string& out, double number) { append_real(out, number); }
void append(std::string& out, const json::value& value) { append_json(out, value); }
void append(std::string& out, const json::object& object);
void append(std::string& out, const json::array& array);
void append(std::string& out, const ToolCall& call);
void append(std::string& out, const Message& message);
void append(std::string& out, const Task& task);
void append(std::string& out, const TurnTokens& tokens);
void append(std::string& out, const Tokens& tokens);
void append(std::string& out, const Assistant& assistant);
void append(std::string& out, const Usage& usage);
void append(std::string& out, const Cost& cost);
void append(std::string& out, const Timing& timing);
void append(std::string& out, const Observation& observation);
void append(std::string& out, const Outcome& outcome);
void append(std::string& out, const Parent& parent);
void append(std::string& out, const Label& label) { append_json(out, label); }
void append(std::string& out, const TurnRef& turn) { append_json(out, *turn); }
void append(std::string& out, const std::pair<int, int>& range) {
  out += '[';
  append_integer(out, range.first);
  out += ',';
  append_integer(out, range.second);
  out += ']';
}
template <class T>
void append(std::string& out, const std::vector<T>& items);
template <class T>
void append(std::string& out, const std::optional<T>& value) {
  if (value)
    append(out, *value);
  else
    out += "null";
}
template <class T>
void append(std::string& out, const std::vector<T>& items) {
  out += '[';
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ',';
    append(out, items[i]);
  }
  out += ']';
}

// One object: fields in order, then the fields nobody knew. Closed by the destructor.
class Object {
 public:
  explicit Object(std::string& out) : out_(out) { out_ += '{'; }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  ~Object() { out_ += '}'; }

  template <class T>
  Object& field(std::string_view name, const T& value) {
    key(name);
    append(out_, value);
    return *this;
  }
  Object& nothing(std::string_view name) {
    key(name);
    out_ += "null";
    return *this;
  }
  // A field that is written already wins.
  void rest(const json::object& extra) {
    const auto end = names_.cbegin() + static_cast<std::ptrdiff_t>(count_);
    for (const auto& pair : extra)
      if (std::find(names_.cbegin(), end, std::string_view(pair.key())) == end) {
        key_alone(pair.key());
        append_json(out_, pair.value());
      }
  }

 private:
  void key(std::string_view name) {
    PROCTOR_CHECK(count_ < names_.size());
    names_[count_++] = name;
    key_alone(name);
  }
  void key_alone(std::string_view name) {
    if (out_.back() != '{') out_ += ',';
    append_text(out_, name);
    out_ += ':';
  }
  std::string& out_;
  std::array<std::string_view, 24> names_;  // more than any record has
  std::size_t count_ = 0;
};

void append(std::string& out, const json::object& object) { Object(out).rest(object); }

void append(std::string& out, const json::array& array) {
  out += '[';
  for (std::size_t i = 0; i < array.size(); ++i) {
    if (i > 0) out += ',';
    append_json(out, array[i]);
  }
  out += ']';
}

void append(std::string& out, const ToolCall& call) {
  Object(out)
      .field("id", call.id)
      .field("name", call.name)
      .field("arguments", call.arguments)
      .rest(call.extra);
}

void append(std::string& out, const Message& message) {
  Object object(out);
  object.field("role", message.role).field("content", message.content);
  if (message.reasoning) object.field("reasoning", *message.reasoning);
  if (!message.tool_calls.empty()) object.field("tool_calls", message.tool_calls);
  if (!message.tool_call_id.empty()) object.field("tool_call_id", message.tool_call_id);
  if (!message.name.empty()) object.field("name", message.name);
  object.rest(message.extra);
}

void append(std::string& out, const Task& task) {
  Object object(out);
  object.field("id", task.id)
      .field("suite", task.suite)
      .field("prompt", task.prompt)
      .field("messages", task.messages)
      .field("tools", task.tools)
      .field("gold", task.gold)
      .field("media", task.media)
      .field("metadata", task.metadata)
      .rest(task.extra);
}

// A list of texts of one letter each, or null.
struct Letters {
  const std::optional<std::string>& text;
};
void append(std::string& out, const Letters& letters) {
  if (!letters.text) {
    out += "null";
    return;
  }
  out += '[';
  for (const char& letter : *letters.text) {
    if (&letter != letters.text->data()) out += ',';
    append_text(out, std::string_view(&letter, 1));
  }
  out += ']';
}

void append(std::string& out, const TurnTokens& tokens) {
  Object object(out);
  object.field("prompt_ids", tokens.prompt_ids)
      .field("ids", tokens.ids)
      .field("logprobs", tokens.logprobs);
  object.field("segments", Letters{tokens.segments});
  if (tokens.prompt_from != 0) object.field("prompt_from", tokens.prompt_from);
  object.rest(tokens.extra);
}

void append(std::string& out, const Tokens& tokens) {
  Object(out)
      .field("ids", tokens.ids)
      .field("loss_mask", tokens.loss_mask)
      .field("logprobs", tokens.logprobs)
      .field("turn", tokens.turn)
      .field("rewards", tokens.rewards)
      .field("advantages", tokens.advantages)
      .rest(tokens.extra);
}

void append(std::string& out, const Assistant& assistant) {
  Object object(out);
  object.field("content", assistant.content)
      .field("reasoning", assistant.reasoning)
      .field("steps", assistant.steps)
      .field("tool_calls", assistant.tool_calls)
      .field("parse_error", assistant.parse_error)
      .field("finish_reason", assistant.finish_reason);
  if (assistant.tokens) object.field("tokens", *assistant.tokens);
  object.rest(assistant.extra);
}

void append(std::string& out, const Usage& usage) {
  Object(out)
      .field("wall_ms", usage.wall_ms)
      .field("cpu_ms", usage.cpu_ms)
      .field("peak_memory_bytes", usage.peak_memory_bytes)
      .rest(usage.extra);
}

void append(std::string& out, const Cost& cost) {
  Object(out)
      .field("model_calls", cost.model_calls)
      .field("prompt_tokens", cost.prompt_tokens)
      .field("completion_tokens", cost.completion_tokens)
      .field("executions", cost.executions)
      .field("wall_ms", cost.wall_ms)
      .rest(cost.extra);
}

void append(std::string& out, const Timing& timing) {
  Object(out)
      .field("started", timing.started)
      .field("model_ms", timing.model_ms)
      .field("tools_ms", timing.tools_ms)
      .field("supervise_ms", timing.supervise_ms)
      .rest(timing.extra);
}

void append(std::string& out, const Observation& observation) {
  Object(out)
      .field("tool_call_id", observation.tool_call_id)
      .field("name", observation.name)
      .field("status", to_string(observation.status))
      .field("content", observation.content)
      .field("data", observation.data)
      .field("usage", observation.usage)
      .rest(observation.extra);
}

void append(std::string& out, const Outcome& outcome) {
  Object(out)
      .field("status", to_string(outcome.status))
      .field("answer", outcome.answer)
      .field("reward", outcome.reward)
      .field("correct", outcome.correct)
      .field("metrics", outcome.metrics)
      .field("error", outcome.error)
      .rest(outcome.extra);
}

void append(std::string& out, const Parent& parent) {
  Object(out)
      .field("trajectory_id", parent.trajectory_id)
      .field("turns", parent.turns)
      .rest(parent.extra);
}

struct Scores {
  const std::map<std::string, double>& values;
};
void append(std::string& out, const Scores& scores) {
  out += '{';
  for (const auto& [name, value] : scores.values) {
    if (out.back() != '{') out += ',';
    append_text(out, name);
    out += ':';
    append_real(out, value);
  }
  out += '}';
}

struct Action {
  const Turn& turn;
};
void append(std::string& out, const Action& action) {
  Object object(out);
  object.field("decision", to_string(action.turn.decision));
  if (action.turn.decided_by.empty())
    object.nothing("by");
  else
    object.field("by", action.turn.decided_by);
  object.rest(action.turn.action_extra);
}

}  // namespace

void append_json(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      out += "null";
      break;
    case json::kind::bool_:
      append(out, value.get_bool());
      break;
    case json::kind::int64:
      append_integer(out, value.get_int64());
      break;
    case json::kind::uint64:
      append_integer(out, value.get_uint64());
      break;
    case json::kind::double_:
      append_real(out, value.get_double());
      break;
    case json::kind::string:
      append_text(out, std::string_view(value.get_string()));
      break;
    case json::kind::array:
      append(out, value.get_array());
      break;
    case json::kind::object:
      append(out, value.get_object());
      break;
  }
}

std::string json_text(const json::value& value) {
  std::string text;
  append_json(text, value);
  return text;
}

std::string json_text(const json::object& object) {
  std::string text;
  append(text, object);
  return text;
}

void append_json(std::string& out, const Turn& turn) {
  Object(out)
      .field("index", turn.index)
      .field("weights_version", turn.weights_version)
      .field("assistant", turn.assistant)
      .field("observations", turn.observations)
      .field("candidates", turn.candidates)
      .field("chosen", turn.chosen)
      .field("scores", Scores{turn.scores})
      .field("action", Action{turn})
      .field("timing", turn.timing)
      .rest(turn.extra);
}

void append_json(std::string& out, const Label& label) {
  Object(out)
      .field("supervisor", label.supervisor)
      .field("name", label.name)
      .field("level", to_string(label.level))
      .field("turn", label.turn)
      .field("step", label.step)
      .field("line", label.line)
      .field("tool_call", label.tool_call)
      .field("token", label.token)
      .field("value", label.value)
      .field("verdict", label.verdict)
      .field("rationale", label.rationale)
      .field("evidence", label.evidence)
      .field("cost", label.cost)
      .rest(label.extra);
}

void append_json(std::string& out, const Trajectory& trajectory) {
  Object object(out);
  object.field("schema", kTrajectorySchema)
      .field("id", trajectory.id)
      .field("run_id", trajectory.run_id)
      .field("task_id", trajectory.task_id)
      .field("group_id", trajectory.group_id)
      .field("sample", trajectory.sample)
      .field("parent", trajectory.parent);
  if (trajectory.task)
    object.field("task", *trajectory.task);
  else
    object.field("task", json::object{});
  object.field("policy", *trajectory.policy);
  if (trajectory.prefix)
    object.field("prefix", *trajectory.prefix);
  else
    object.field("prefix", json::array{});
  object.field("turns", trajectory.turns)
      .field("outcome", trajectory.outcome)
      .field("observation", trajectory.observation)
      .field("labels", trajectory.labels);
  if (trajectory.tokens) object.field("tokens", *trajectory.tokens);
  object.field("created", trajectory.created)
      .field("versions", *trajectory.versions)
      .rest(trajectory.extra);
}

}  // namespace proctor
