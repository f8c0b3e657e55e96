// What a mechanism calls one step, and where its values go on a record's tokens.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/core/config.h"
#include "runtime/core/records.h"

namespace proctor {

// The steps of one assistant message: its own `steps` where present (empty entries count); else the
// content cut at blank lines, empty parts dropped; a text of one part is cut before lines that
// begin with `Step N` or `N.`. No text, no steps.
std::vector<std::string> split_steps(const Assistant& assistant);
std::vector<std::string> split_text(const std::string& text);

// automatic: `turn` when the trajectory has more than one turn or a tool call, else `step`.
enum class Unit { automatic, step, turn };
OptionInfo unit_option();
Unit unit_of(const Options& options);

// What was thought, said, called and observed, one a line, as a judge is shown it.
std::string text_of(const Turn& turn);
// The first or the last `most` bytes of a text, whole characters, and a line that says how much is
// left out; a text that fits as it is. What was done last stands at the end.
std::string first_part(const std::string& text, std::size_t most);
std::string last_part(const std::string& text, std::size_t most);
// How much of what came before, and of what is judged, a judge is shown.
OptionInfo max_chars_option();

struct Step {
  int turn = 0;
  std::optional<int> step;  // within the turn; nothing where a step is a whole turn
  std::string text;         // trimmed
  bool empty = false;       // says nothing and calls no tool

  LabelLevel level() const { return step ? LabelLevel::step : LabelLevel::turn; }
  // A label of this step, without name and value.
  Label label() const;
};
std::vector<Step> steps_of(const Trajectory& trajectory, Unit unit);

// One value a token, 0 where the policy did not sample. `of_turn[t]` goes on the last sampled token
// of turn t, or on all its sampled tokens; a turn without sampled tokens gets nothing.
std::vector<double> on_last_sampled(const Tokens& tokens, const std::vector<double>& of_turn);
std::vector<double> on_all_sampled(const Tokens& tokens, const std::vector<double>& of_turn);
// Index of the last sampled token, of that turn or of all; nothing where there is none.
std::optional<std::size_t> last_sampled(const Tokens& tokens, std::optional<int> turn = {});

}  // namespace proctor
