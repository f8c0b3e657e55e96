// Labels stand under the turn they judge; those of the whole trajectory under its outcome.
#include "runtime/app/trajectory_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "runtime/core/harmless.h"
#include "runtime/core/record_writer.h"
#include "runtime/core/text_table.h"
#include "runtime/store.h"
#include "supervisors/grading.h"

namespace proctor {
namespace {

std::string milliseconds(double ms) {
  return ms < 1000 ? fmt::format("{:.0f} ms", ms) : fmt::format("{:.1f} s", ms / 1000);
}

Ink ink_of(const std::optional<std::string>& verdict) {
  if (verdict == "correct") return Ink::good;
  if (verdict == "incorrect") return Ink::bad;
  return Ink::accent;
}

class Page {
 public:
  Page(const Trajectory& whole, const TerminalStyle& style, bool full, bool finished)
      : whole_(whole), style_(style), full_(full), finished_(finished) {}

  std::string write() {
    head();
    question();
    for (const auto& turn : whole_.turns) write_turn(*turn);
    if (finished_)
      outcome();
    else
      rule("unfinished",
           plural(static_cast<std::int64_t>(whole_.turns.size()), "turn") + " in the journal");
    return std::move(out_);
  }

 private:
  std::size_t most(std::size_t lines) const { return full_ ? SIZE_MAX : lines; }
  void line(const std::string& text) { out_ += text + "\n"; }
  void text(std::string_view content, std::size_t indent, std::size_t lines, Ink ink = Ink::plain) {
    const std::string block = wrapped(content, style_.width, indent, most(lines));
    // Colour line by line: a pager shows each on its own.
    for (std::size_t at = 0; at < block.size();) {
      const std::size_t end = block.find('\n', at);
      line(style_.paint(ink, block.substr(at, end - at)));
      at = end + 1;
    }
  }
  void rule(const std::string& title, const std::string& facts) {
    std::string head = "── " + title + " ";
    if (!facts.empty()) head += "· " + facts + " ";
    const std::size_t used = display_width(head);
    for (std::size_t i = used; i < style_.width; ++i) head += "─";
    line("");
    line(style_.paint(Ink::bold, head));
  }

  void head();
  void question();
  void write_turn(const Turn& turn);
  void write_calls(const Turn& turn);
  void write_observation(const Observation& observation);
  void write_label(const Label& label);
  void outcome();

  const Trajectory& whole_;
  const TerminalStyle& style_;
  const bool full_;
  const bool finished_;
  std::string out_;
};

void Page::head() {
  std::string place = whole_.task_id + ", sample " + std::to_string(whole_.sample);
  if (whole_.task && !whole_.task->suite.empty()) place = whole_.task->suite + ", " + place;
  line(style_.paint(Ink::bold, shortened(whole_.id, style_.width)) + "  " +
       style_.paint(Ink::dim, harmless("(" + place + ")", false)));
  if (whole_.parent)
    line(harmless(fmt::format("branches off {} after {}", whole_.parent->trajectory_id,
                              plural(whole_.parent->turns, "turn")),
                  false));
  const auto text_of = [this](const char* key) -> std::string {
    const auto* value = whole_.policy->if_contains(key);
    return value && value->is_string() ? std::string(value->get_string()) : "";
  };
  const std::string policy = text_of("backend") + " " + text_of("model");
  std::size_t calls = 0;
  double model = 0, tools = 0, supervise = 0;
  for (const auto& turn : whole_.turns) {
    calls += turn->assistant.tool_calls.size();
    model += turn->timing.model_ms;
    tools += turn->timing.tools_ms;
    supervise += turn->timing.supervise_ms;
  }
  line(style_.paint(
      Ink::dim,
      harmless(fmt::format("{} · {} · {} · model {}, tools {}, supervision {}", policy,
                           plural(static_cast<std::int64_t>(whole_.turns.size()), "turn"),
                           plural(static_cast<std::int64_t>(calls), "tool call"),
                           milliseconds(model), milliseconds(tools), milliseconds(supervise)),
               false)));
}

void Page::question() {
  if (full_ && whole_.prefix) {
    for (const auto& message : *whole_.prefix) {
      rule(harmless(message.role, false), "");
      text(message.text(), 0, SIZE_MAX);
    }
    return;
  }
  rule("question", "");
  text(whole_.task ? whole_.task->question() : "", 0, 20);
}

void Page::write_calls(const Turn& turn) {
  for (const auto& call : turn.assistant.tool_calls) {
    // Code reads better as lines than as one JSON string.
    const auto* code = call.arguments.if_contains("code");
    const bool only_code = code && code->is_string() && call.arguments.size() == 1;
    line(style_.paint(Ink::accent, "  -> " + harmless(call.name, false)) + " " +
         (only_code ? ""
                    : shortened(json_text(call.arguments),
                                full_ ? SIZE_MAX : std::max<std::size_t>(style_.width, 40) - 10)));
    if (only_code) text(std::string_view(code->get_string()), 5, 20);
  }
}

void Page::write_observation(const Observation& observation) {
  const bool good = observation.status == ObservationStatus::ok;
  std::string head = "  <- " + harmless(observation.name, false);
  if (!good) head += std::string(" ") + to_string(observation.status);
  std::string facts;
  if (observation.usage.wall_ms > 0) facts = " (" + milliseconds(observation.usage.wall_ms) + ")";
  line(style_.paint(good ? Ink::accent : Ink::bad, head) + style_.paint(Ink::dim, facts));
  text(observation.content, 5, 10);
}

void Page::write_label(const Label& label) {
  std::string said = label.supervisor + "." + label.name;
  if (label.level != LabelLevel::turn) said += std::string(" [") + to_string(label.level) + "]";
  for (const auto& [name, index] :
       {std::pair{"step", label.step}, {"line", label.line}, {"tool call", label.tool_call}})
    if (index) said += fmt::format(" {} {}", name, *index);
  std::string value = label.value ? fmt::format("{:.4g}", *label.value) : "";
  if (label.verdict) value += (value.empty() ? "" : " ") + *label.verdict;
  if (const auto* error = label.evidence.if_contains("error"))
    value =
        "failed: " + (error->is_string() ? std::string(error->get_string()) : json_text(*error));
  line("  " + style_.paint(Ink::dim, "* " + harmless(said, false)) + " " +
       style_.paint(ink_of(label.verdict), harmless(value.empty() ? "no opinion" : value, false)));
  if (label.rationale && !label.rationale->empty()) text(*label.rationale, 5, 4, Ink::dim);
}

void Page::write_turn(const Turn& turn) {
  std::string facts = turn.assistant.finish_reason;
  const auto add = [&facts](const char* name, double ms) {
    if (ms > 0) facts += fmt::format("{}{} {}", facts.empty() ? "" : ", ", name, milliseconds(ms));
  };
  if (const auto* queued = turn.timing.extra.if_contains("queued_ms");
      queued && queued->is_number())
    add("queued", queued->to_number<double>());
  add("model", turn.timing.model_ms);
  add("tools", turn.timing.tools_ms);
  add("supervision", turn.timing.supervise_ms);
  rule("turn " + std::to_string(turn.index), harmless(facts, false));
  if (turn.assistant.reasoning) text(*turn.assistant.reasoning, 2, 12, Ink::dim);
  text(turn.assistant.content, 2, 20);
  if (turn.assistant.parse_error)
    text("could not be parsed: " + *turn.assistant.parse_error, 2, 4, Ink::bad);
  if (turn.candidates && turn.chosen)
    line(style_.paint(
        Ink::dim, fmt::format("  (candidate {} of {})", *turn.chosen, turn.candidates->size())));
  write_calls(turn);
  for (const auto& observation : turn.observations) write_observation(observation);
  for (const auto& label : whole_.labels)
    if (label.turn == turn.index) write_label(label);
  if (turn.decision != Decision::proceed)
    line(style_.paint(
        Ink::warning,
        fmt::format("  decision: {}{}", to_string(turn.decision),
                    turn.decided_by.empty() ? "" : " by " + harmless(turn.decided_by, false))));
}

void Page::outcome() {
  const Outcome& outcome = whole_.outcome;
  rule(to_string(outcome.status), "");
  if (outcome.answer) text("answer: " + *outcome.answer, 2, 10);
  if (const auto* answers = whole_.task ? whole_.task->gold.if_contains("answers") : nullptr)
    text("gold: " + json_text(*answers), 2, 2, Ink::dim);
  std::string verdict;
  if (outcome.correct) verdict = *outcome.correct ? "correct" : "incorrect";
  if (outcome.reward)
    verdict += fmt::format("{}reward {:.4g}", verdict.empty() ? "" : ", ", *outcome.reward);
  if (!verdict.empty())
    line("  " +
         style_.paint(outcome.correct ? (*outcome.correct ? Ink::good : Ink::bad) : Ink::plain,
                      verdict));
  if (outcome.error) text("error: " + *outcome.error, 2, 6, Ink::bad);
  if (const auto why = why_ungraded(outcome)) text(kNotGraded + *why, 2, 6, Ink::bad);
  for (const auto& label : whole_.labels)
    if (!label.turn) write_label(label);
}

}  // namespace

std::string trajectory_text(const Trajectory& trajectory, const TerminalStyle& style, bool full,
                            bool finished) {
  return Page(trajectory, style, full, finished).write();
}

}  // namespace proctor
