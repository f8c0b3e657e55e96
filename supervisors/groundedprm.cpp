// groundedprm — checks single steps with a tool, and fuses the verdicts with how the chain ended.
//
// After GroundedPRM (arXiv 2510.14942). The pure tool path evaluates the arithmetic that a step
// states; the judge path has a model write a query, runs it in the sandbox and has a judge compare.
// Cost: none on the tool path; else two model calls and one execution a step. Blind spot: a step
// whose arithmetic is right and whose idea is wrong, which only the judge or the outcome can see.
#include <algorithm>
#include <cmath>
#include <sstream>

#include "runtime/core/once.h"
#include "runtime/core/text.h"
#include "sandbox/sandbox.h"
#include "supervisors/arithmetic.h"
#include "supervisors/grading.h"
#include "supervisors/loose_json.h"
#include "supervisors/steps.h"
#include "supervisors/supervisor.h"

namespace proctor {
namespace {

constexpr const char* kQuerySystem =
    R"(You check one step of a solution by computation. Write one Python expression whose value tells
whether the step is right: compute the quantity that the step claims, from the numbers of the
question and of the earlier steps, without using the step's own result. `math` and `fractions` are
imported.
FENCES
Reply with JSON only: {"query": "EXPRESSION"})";

constexpr const char* kJudgeSystem =
    R"(You compare one step of a solution with the answer of a tool.
Rules: two numbers agree when they differ by at most TOLERANCE; a number agrees with a range when it
lies inside; two expressions agree when they are algebraically equal; when the tool's answer is about
something else, judge the step from the question and the earlier steps alone.
FENCES
Reply with JSON only: {"reason": "ONE SENTENCE", "result": true or false})";

// For embedded models, which are small and held to the form.
constexpr const char* kQueryGrammar =
    R"(root ::= "{\"query\": \"" [^"\\\n]{1,120} "\"}"
)";
constexpr const char* kVerdictGrammar =
    R"(root ::= "{\"reason\": \"" [^"\\\n]{1,200} "\", \"result\": " ("true" | "false") "}"
)";

constexpr std::size_t kMostAnswer = 2000;  // of a tool's, in bytes

// What checking one step gave.
struct Checked {
  int verdict = 0;
  std::string rationale;
  std::string query, result, status = "none";
  int tries = 0;
  Cost cost;
};

struct ToolAnswer {
  std::string status, result;  // ok | error | timeout
};

struct JudgeVerdict {
  bool right = false;
  std::string reason;
};

// The object meant: the last one behind the thoughts; of a reply that was cut only a whole one.
std::optional<json::object> object_of(const JudgeReply& reply, std::string_view key) {
  const std::string text = behind_sections(reply.text);
  return reply.cut ? whole_object(text, key) : loose_object(text, key);
}

std::optional<std::string> read_query(const JudgeReply& reply) {
  const auto object = object_of(reply, "query");
  if (!object) return std::nullopt;
  const auto& query = object->at("query");
  if (!query.is_string()) return std::nullopt;
  std::string text(trimmed(std::string_view(query.get_string())));
  if (text.empty() || text.size() > 4096) return std::nullopt;
  return text;
}

std::optional<JudgeVerdict> read_verdict(const JudgeReply& reply) {
  if (const auto object = object_of(reply, "result"))
    if (const auto right = loose_bool(object->at("result"))) {
      const auto* reason = object->if_contains("reason");
      return JudgeVerdict{*right, reason && reason->is_string() ? std::string(reason->get_string())
                                                                : std::string()};
    }
  if (reply.cut) return std::nullopt;
  if (const auto right = bool_behind(behind_sections(reply.text), "result"))
    return JudgeVerdict{*right, ""};
  return std::nullopt;
}

// nan and inf are no answers, whatever the case and the sign.
bool is_inconclusive(const std::string& result) {
  std::string word = lower_ascii(trimmed(result));
  if (word.starts_with('-') || word.starts_with('+')) word.erase(0, 1);
  return word == "nan" || word == "inf" || word == "infinity";
}

class GroundedPrm final : public Supervisor {
 public:
  GroundedPrm(const Options& options, const SupervisorServices& services)
      : services_(services),
        check_(options.text("check")),
        tolerance_(options.number("tolerance")),
        relative_(options.number("relative")),
        paper_form_(options.text("fusion") == "paper"),
        decay_(options.number("decay")),
        outcome_weight_(options.number("outcome_weight")),
        tries_(static_cast<int>(options.integer("tries"))),
        unit_(unit_of(options)),
        most_chars_(static_cast<std::size_t>(options.integer("max_chars"))) {
    const bool asks = check_ == "judge" ||
                      (check_ == "auto" && services.models && services.models->given("judge"));
    if (asks && services.judge) {
      judge_ = usable(services.judge("judge"));
      // A query writer that was not given is the policy, else the judge itself.
      writer_ = usable(services.judge("teacher"));
      if (!writer_) writer_ = judge_;
    }
  }

  bool has_on_finished() const override { return true; }

  Async<Result<void>> prepare() override {
    if (check_ == "judge" && !judge_)
      co_return missing("check=judge needs a judge: give --model judge=URI");
    if (!judge_) co_return Result<void>{};
    if (!services_.sandbox)
      co_return missing(
          "the judge path runs its queries in the sandbox, which is not there; see "
          "proctor doctor, or use check=tool");
    for (const auto& judge : {judge_, writer_}) {
      auto can = co_await judge->model()->capabilities();
      if (!can) co_return std::move(can).error();
    }
    co_return Result<void>{};
  }

  Async<Result<Opinion>> on_finished(TrajectoryRef whole) override {
    Opinion opinion;
    auto steps = std::make_shared<const std::vector<Step>>(steps_of(*whole, unit_));
    if (steps->empty()) co_return opinion;
    std::vector<Async<Result<Checked>>> works;
    const auto until = services_.end_of_waiting();
    for (std::size_t i = 0; i < steps->size(); ++i) works.push_back(check(whole, steps, i, until));
    auto results = co_await gather(std::move(works));
    std::vector<Checked> checked;
    for (auto& result : results) {
      if (!result) co_return std::move(result).error();
      checked.push_back(std::move(*result));
    }
    opinion.labels = labels_of(*whole, *steps, checked);
    co_return opinion;
  }

 private:
  static std::shared_ptr<Judge> usable(const std::shared_ptr<Judge>& judge) {
    return judge && judge->model() ? judge : nullptr;
  }

  using Time = std::chrono::steady_clock::time_point;

  Async<Result<Checked>> check(TrajectoryRef whole, std::shared_ptr<const std::vector<Step>> steps,
                               std::size_t index, Time until) {
    const Step& step = (*steps)[index];
    Checked checked;
    if (check_ == "none") co_return checked;
    if (step.empty) {
      checked.verdict = -1;
      checked.rationale = "empty";
      co_return checked;
    }
    if (check_ != "judge") {
      checked = by_arithmetic(step.text);
      if (checked.verdict != 0 || !judge_) co_return checked;
    }
    auto judged = co_await by_judge(whole, steps, index, until);
    co_return judged;
  }

  Checked by_arithmetic(const std::string& text) const {
    Checked checked;
    const auto pairs = arithmetic_pairs(text, tolerance_, relative_);
    checked.verdict = verdict_of(pairs);
    for (const auto& pair : pairs) {
      const std::string between = checked.query.empty() ? "" : "; ";
      checked.query += between + pair.left + " = " + pair.right;
      checked.result += between + (pair.left_value.empty() ? "?" : pair.left_value) + " = " +
                        (pair.right_value.empty() ? "?" : pair.right_value);
      if (!pair.conclusive) checked.status = "error";
    }
    if (!pairs.empty() && checked.status == "none") checked.status = "ok";
    return checked;
  }

  Async<Result<Checked>> by_judge(TrajectoryRef whole,
                                  std::shared_ptr<const std::vector<Step>> steps, std::size_t index,
                                  Time until) {
    Checked checked;
    // A judge that is too slow has no opinion; one that is gone is a failure.
    const auto too_slow = [&](const Error& error) {
      if (error.kind == ErrorKind::timeout) checked.rationale = error.message;
      return error.kind == ErrorKind::timeout;
    };
    const std::string seen = question_and_steps(*whole, *steps, index);
    JudgeQuestion ask_query = question(*whole, *steps, index, "teacher", seen, until);
    std::function<std::optional<std::string>(const JudgeReply&)> to_query = read_query;
    auto query = co_await writer_->ask(std::move(ask_query), std::move(to_query));
    checked.cost += query.cost;
    if (query.failure && too_slow(*query.failure)) co_return checked;
    if (query.failure) co_return std::move(*query.failure);
    checked.tries = query.tries;
    if (!query.value) {
      checked.rationale = "no valid query";
      co_return checked;
    }
    checked.query = *query.value;
    std::function<Async<Result<ToolAnswer>>()> run = [this, text = checked.query] {
      return run_query(text);
    };
    auto answer = co_await queries_.get(checked.query, std::move(run));
    if (!answer) co_return std::move(answer).error();
    checked.cost.executions += 1;
    checked.status = answer->status;
    checked.result = answer->result;
    if (answer->status != "ok") {
      checked.rationale = "tool error";
      co_return checked;
    }
    if (is_inconclusive(answer->result)) {
      checked.rationale = "the tool's answer is no finite number";
      co_return checked;
    }
    const std::string shown = seen + "\n\nThe tool was asked " + fence("QUERY", checked.query) +
                              "\nand answered " + fence("ANSWER", answer->result);
    JudgeQuestion ask_verdict = question(*whole, *steps, index, "judge", shown, until);
    std::function<std::optional<JudgeVerdict>(const JudgeReply&)> to_verdict = read_verdict;
    auto verdict = co_await judge_->ask(std::move(ask_verdict), std::move(to_verdict));
    checked.cost += verdict.cost;
    if (verdict.failure && too_slow(*verdict.failure)) co_return checked;
    if (verdict.failure) co_return std::move(*verdict.failure);
    checked.tries = std::max(checked.tries, verdict.tries);
    if (!verdict.value) {
      checked.rationale = "unparsable";
      co_return checked;
    }
    checked.verdict = verdict.value->right ? 1 : -1;
    checked.rationale = verdict.value->reason;
    co_return checked;
  }

  // Everything up to the step; never what comes later.
  std::string question_and_steps(const Trajectory& whole, const std::vector<Step>& steps,
                                 std::size_t index) const {
    std::string text = "Question:\n" + fence("QUESTION", whole.task ? whole.task->question() : "");
    std::string earlier;
    for (std::size_t i = 0; i < index; ++i)
      earlier += std::to_string(i + 1) + ") " + shown(whole, steps[i], true) + "\n";
    text += "\n\nEarlier steps:\n" +
            fence("EARLIER", earlier.empty() ? "(none)" : last_part(earlier, most_chars_));
    return text + "\n\nStep to check:\n" +
           fence("STEP", last_part(shown(whole, steps[index], false), most_chars_));
  }

  // A step that is a turn is what was said and called; once it is past, what came of it too.
  static std::string shown(const Trajectory& whole, const Step& step, bool past) {
    if (step.step) return step.text;
    Turn turn = *whole.turns[static_cast<std::size_t>(step.turn)];
    if (!past) turn.observations.clear();
    return text_of(turn);
  }

  std::string system_for(const std::string& role) const {
    std::string text = role == "teacher" ? kQuerySystem : kJudgeSystem;
    text.replace(text.find("FENCES"), 6, kFenceRule);
    std::ostringstream tolerance;
    tolerance << (relative_ > 0 ? relative_ : tolerance_);
    if (relative_ > 0) tolerance << " times the larger one";
    if (const auto at = text.find("TOLERANCE"); at != std::string::npos)
      text.replace(at, 9, tolerance.str());
    return text;
  }

  JudgeQuestion question(const Trajectory& whole, const std::vector<Step>& steps, std::size_t index,
                         const std::string& role, const std::string& user, Time until) const {
    JudgeQuestion question;
    question.messages = {{.role = "system", .content = json::string(system_for(role))},
                         {.role = "user", .content = json::string(user)}};
    question.sampling.temperature = 0.6;
    question.sampling.max_tokens = 512;
    if ((role == "teacher" ? writer_ : judge_)->model()->backend() == "llama")
      question.grammar = role == "teacher" ? kQueryGrammar : kVerdictGrammar;
    question.sampling.seed = derive_seed(services_.seed, "groundedprm");
    question.retries = tries_ - 1;  // each a fresh call: the seed differs
    question.retry_temperature_step = 0;
    question.until = until;
    question.role = role;
    question.asker.task_id = whole.task_id;
    question.asker.sample = whole.sample;
    question.asker.turn = steps[index].turn;
    return question;
  }

  Async<Result<ToolAnswer>> run_query(std::string query) {
    ExecutionRequest request;
    request.language = Language::python;
    request.code =
        "import math, fractions\nfrom fractions import Fraction\nprint((\n" + query + "\n))\n";
    request.limits.cpu = 5s;
    request.limits.wall = 10s;
    auto execution = co_await services_.sandbox->run(std::move(request));
    if (!execution) co_return std::move(execution).error().in("sandbox");
    if (execution->ending == Ending::sandbox_error)
      co_return internal_error("sandbox: " + execution->error);
    ToolAnswer answer;
    const bool late =
        execution->ending == Ending::time_limit || execution->ending == Ending::wall_limit;
    answer.status = execution->ending == Ending::ok ? "ok" : late ? "timeout" : "error";
    const std::string output(
        trimmed(execution->ending == Ending::ok ? execution->out : execution->err));
    answer.result = first_part(output, kMostAnswer);
    co_return answer;
  }

  // u of the recorded rest of the chain behind step i: v of the steps between it and the last, the
  // last one spoken for by how the chain ended.
  double rollout_value(const std::vector<Checked>& checked, std::size_t i, int outcome) const {
    const std::size_t steps = checked.size();
    const std::size_t n = i + 2 < steps ? steps - i - 2 : 0;
    const auto size = static_cast<double>(n);
    double sum = 0;
    for (std::size_t j = 0; j < n; ++j) {
      const double v = checked[i + 1 + j].verdict;
      sum += paper_form_ ? v * std::pow(decay_, static_cast<double>(j))
                         : v * (size - static_cast<double>(j)) / size;
    }
    if (paper_form_) return (n > 0 ? sum / size : 0) + outcome_weight_ * outcome;
    return n > 0 ? (sum + outcome) / size : outcome;
  }

  std::vector<Label> labels_of(const Trajectory& whole, const std::vector<Step>& steps,
                               const std::vector<Checked>& checked) const {
    std::vector<Label> labels;
    const auto correct = correct_by_answer(whole);
    const int outcome = correct.value_or(false) ? 1 : -1;
    std::optional<std::size_t> first_error;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      Label verdict = steps[i].label();
      verdict.name = "tool_verdict";
      verdict.value = checked[i].verdict;
      verdict.verdict = word_of(checked[i].verdict);
      if (!checked[i].rationale.empty()) verdict.rationale = checked[i].rationale;
      const auto or_null = [](const std::string& text) {
        return text.empty() ? json::value(nullptr) : json::value(json::string(text));
      };
      verdict.evidence["query"] = or_null(checked[i].query);
      verdict.evidence["result"] = or_null(checked[i].result);
      verdict.evidence["status"] = checked[i].status;
      verdict.evidence["tries"] = checked[i].tries;
      verdict.cost = checked[i].cost;
      labels.push_back(std::move(verdict));
      double fused = checked[i].verdict;
      if (correct) {
        Label value = steps[i].label();
        value.name = "rollout_value";
        value.value = rollout_value(checked, i, outcome);
        value.evidence["n"] = 1;
        value.evidence["final"] = outcome;
        fused += 0.5 * *value.value;
        labels.push_back(std::move(value));
      }
      Label step = steps[i].label();
      step.name = "step";
      step.value = fused;
      step.verdict = word_of(fused);
      if (*step.verdict == "incorrect" && !first_error) first_error = i;
      labels.push_back(std::move(step));
    }
    if (!ended_by_policy(whole.outcome)) {
      labels.push_back(not_judged("first_error", whole.outcome));
      return labels;
    }
    Label first{.name = "first_error", .level = LabelLevel::trajectory};
    first.value = first_error ? static_cast<double>(*first_error) : -1.0;
    const bool ungrounded = std::all_of(checked.begin(), checked.end(),
                                        [](const Checked& each) { return each.verdict == 0; });
    first.verdict = ungrounded ? "ungrounded" : first_error ? "found" : "none";
    labels.push_back(std::move(first));
    return labels;
  }

  static const char* word_of(double value) {
    if (std::abs(value) < 1e-9) return "neutral";
    return value > 0 ? "correct" : "incorrect";
  }

  const SupervisorServices services_;
  const std::string check_;
  const double tolerance_, relative_;
  const bool paper_form_;
  const double decay_, outcome_weight_;
  const int tries_;
  const Unit unit_;
  const std::size_t most_chars_;
  std::shared_ptr<Judge> judge_, writer_;
  Once<ToolAnswer> queries_;
};

Result<SupervisorRef> make_groundedprm(const Options& options, const SupervisorServices& services) {
  if (options.integer("rollouts") > 0 && !services.rollouts)
    return bad_input(
        "rollouts: simulating goes on from a step with the policy, which needs a running search; "
        "rollouts=0 takes the recorded rest of the chain");
  if (options.number("decay") <= 0) return bad_input("decay: expected a number in (0, 1]");
  return SupervisorRef(std::make_shared<GroundedPrm>(options, services));
}

REGISTER_SUPERVISOR(
    {.name = "groundedprm",
     .summary = "checks each step's arithmetic with a tool, else by query, sandbox and judge",
     .options = {{.name = "check",
                  .type = OptionType::choice,
                  .fallback = "auto",
                  .meaning =
                      "auto: the tool, and where it is inconclusive the judge if one is given",
                  .choices = {"auto", "tool", "judge", "none"}},
                 {.name = "tolerance",
                  .type = OptionType::number,
                  .fallback = 0.1,
                  .meaning = "both sides agree when they differ by no more",
                  .least = 0},
                 {.name = "relative",
                  .type = OptionType::number,
                  .fallback = 0.0,
                  .meaning = "above 0: by no more than this share of the larger one",
                  .least = 0},
                 {.name = "fusion",
                  .type = OptionType::choice,
                  .fallback = "code",
                  .meaning = "form of the rollout value: of the released code, or of the paper",
                  .choices = {"code", "paper"}},
                 {.name = "decay",
                  .type = OptionType::number,
                  .fallback = 0.9,
                  .meaning = "discount of later verdicts (fusion=paper)",
                  .least = 0,
                  .most = 1,
                  .range = "(0, 1]"},
                 {.name = "outcome_weight",
                  .type = OptionType::number,
                  .fallback = 1.0,
                  .meaning = "weight of the outcome (fusion=paper)"},
                 {.name = "rollouts",
                  .type = OptionType::integer,
                  .fallback = 0,
                  .meaning = "simulations a step; 0: the recorded rest of the chain is the one",
                  .least = 0,
                  .most = 64},
                 {.name = "tries",
                  .type = OptionType::integer,
                  .fallback = 5,
                  .meaning = "tries for a query, and for a verdict",
                  .least = 1,
                  .most = 16},
                 unit_option(),
                 max_chars_option()},
     .labels = {"tool_verdict (step or turn)", "rollout_value (step or turn)",
                "step (step or turn)", "first_error (trajectory)"},
     .roles = {"judge", "teacher"}},
    make_groundedprm)

}  // namespace
}  // namespace proctor
