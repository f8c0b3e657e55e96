// Steps by the contract's rule, and placing values on tokens.
//
// Blind spot: a blank line inside a code block or a table is a border between steps too.
#include "supervisors/steps.h"

#include <algorithm>

#include "runtime/core/text.h"
#include "runtime/core/unicode.h"

namespace proctor {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "Step 3...", "12. ..."; blanks before it do not matter.
bool opens_step(std::string_view line) {
  line = trimmed(line);
  std::size_t at = 0;
  if (lower_ascii(line.substr(0, 4)) == "step") {
    at = 4;
    while (at < line.size() && line[at] == ' ') ++at;
    return at > 4 && at < line.size() && is_digit(line[at]);
  }
  while (at < line.size() && is_digit(line[at])) ++at;
  // "3.5 litres" is no third step.
  return at > 0 && at < line.size() && line[at] == '.' &&
         (at + 1 == line.size() || !is_digit(line[at + 1]));
}

// Joins lines to parts, a new one wherever `cut` says so; empty parts are dropped.
template <class Cut>
std::vector<std::string> parts_of(std::string_view text, Cut cut) {
  std::vector<std::string> parts;
  std::string part;
  const auto close = [&] {
    if (const auto kept = trimmed(part); !kept.empty()) parts.emplace_back(kept);
    part.clear();
  };
  for (const std::string_view line : lines_of(text)) {
    if (cut(line)) close();
    part.append(line).append("\n");
  }
  close();
  return parts;
}

}  // namespace

std::vector<std::string> split_text(const std::string& text) {
  auto parts = parts_of(text, [](std::string_view line) { return trimmed(line).empty(); });
  if (parts.size() != 1) return parts;
  return parts_of(parts[0], opens_step);
}

std::vector<std::string> split_steps(const Assistant& assistant) {
  return assistant.steps ? *assistant.steps : split_text(assistant.content);
}

OptionInfo unit_option() {
  return {.name = "unit",
          .type = OptionType::choice,
          .fallback = "auto",
          .meaning = "what a step is; auto: a turn when there are several or a tool call",
          .choices = {"auto", "step", "turn"}};
}

OptionInfo max_chars_option() {
  return {.name = "max_chars",
          .type = OptionType::integer,
          .fallback = 12000,
          .meaning = "of what is judged, and of what came before; the end is kept",
          .least = 100};
}

Unit unit_of(const Options& options) {
  const std::string unit = options.text("unit");
  return unit == "step" ? Unit::step : unit == "turn" ? Unit::turn : Unit::automatic;
}

std::string text_of(const Turn& turn) {
  std::string text;
  if (turn.assistant.reasoning) text += "thought: " + *turn.assistant.reasoning + "\n";
  if (!turn.assistant.content.empty()) text += "said: " + turn.assistant.content + "\n";
  for (const ToolCall& call : turn.assistant.tool_calls)
    text += "called: " + call.name + " " + canonical_json(call.arguments) + "\n";
  for (const Observation& seen : turn.observations)
    text += "observed (" + std::string(to_string(seen.status)) + "): " + seen.content + "\n";
  return text;
}

std::string first_part(const std::string& text, std::size_t most) {
  if (text.size() <= most) return text;
  const std::size_t end = character_start(text, most);
  return text.substr(0, end) + "\n[cut: " + std::to_string(text.size() - end) + " more characters]";
}

std::string last_part(const std::string& text, std::size_t most) {
  if (text.size() <= most) return text;
  const std::size_t from = character_start(text, text.size() - most);
  return "[cut: " + std::to_string(from) + " earlier characters]\n" + text.substr(from);
}

Label Step::label() const {
  Label label;
  label.level = level();
  label.turn = turn;
  label.step = step;
  return label;
}

std::vector<Step> steps_of(const Trajectory& trajectory, Unit unit) {
  if (unit == Unit::automatic) {
    const bool agent =
        trajectory.turns.size() > 1 ||
        std::any_of(trajectory.turns.begin(), trajectory.turns.end(),
                    [](const TurnRef& turn) { return !turn->assistant.tool_calls.empty(); });
    unit = agent ? Unit::turn : Unit::step;
  }
  std::vector<Step> steps;
  for (std::size_t t = 0; t < trajectory.turns.size(); ++t) {
    const Assistant& said = trajectory.turns[t]->assistant;
    if (unit == Unit::turn) {
      Step step{.turn = static_cast<int>(t), .text = std::string(trimmed(said.content))};
      step.empty = step.text.empty() && said.tool_calls.empty();
      steps.push_back(std::move(step));
      continue;
    }
    int index = 0;
    std::vector<std::string> texts = split_steps(said);
    if (texts.empty() && said.tool_calls.empty()) texts.emplace_back();
    for (const std::string& text : texts) {
      Step step{.turn = static_cast<int>(t), .step = index++, .text = std::string(trimmed(text))};
      step.empty = step.text.empty();
      steps.push_back(std::move(step));
    }
  }
  return steps;
}

std::optional<std::size_t> last_sampled(const Tokens& tokens, std::optional<int> turn) {
  const std::size_t size = std::min(tokens.loss_mask.size(), tokens.turn.size());
  for (std::size_t i = size; i-- > 0;)
    if (tokens.loss_mask[i] == 1 && (!turn || tokens.turn[i] == *turn)) return i;
  return std::nullopt;
}

std::vector<double> on_last_sampled(const Tokens& tokens, const std::vector<double>& of_turn) {
  std::vector<double> values(tokens.ids.size(), 0.0);
  for (std::size_t t = 0; t < of_turn.size(); ++t)
    if (const auto at = last_sampled(tokens, static_cast<int>(t))) values[*at] = of_turn[t];
  return values;
}

std::vector<double> on_all_sampled(const Tokens& tokens, const std::vector<double>& of_turn) {
  std::vector<double> values(tokens.ids.size(), 0.0);
  const std::size_t size =
      std::min({tokens.ids.size(), tokens.loss_mask.size(), tokens.turn.size()});
  for (std::size_t i = 0; i < size; ++i) {
    const std::int32_t turn = tokens.turn[i];
    if (tokens.loss_mask[i] == 1 && turn >= 0 && static_cast<std::size_t>(turn) < of_turn.size())
      values[i] = of_turn[static_cast<std::size_t>(turn)];
  }
  return values;
}

}  // namespace proctor
