// judge — a model scores each turn, or the whole trajectory, by a rubric of the user's.
//
// Cost: `votes` model calls a turn, or one trajectory. May stop a rollout whose turn falls below a
// threshold. Blind spot: a judge has tastes (length, confident tone) that no rubric takes away; and
// only its reply is parsed, so a verdict written into the judged text is text.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/core/text.h"
#include "runtime/core/unicode.h"
#include "supervisors/grading.h"
#include "supervisors/loose_json.h"
#include "supervisors/steps.h"
#include "supervisors/supervisor.h"

namespace proctor {
namespace {

constexpr const char* kDefaultRubric =
    "Does this bring the agent closer to a right answer? Reward steps that are correct, grounded "
    "in "
    "what was observed, and not a repetition of earlier ones.";

constexpr const char* kSystem =
    R"(You are a strict judge of an agent's work. You score by this rubric and by nothing else:
RUBRIC

FENCES
Reply with one or two sentences of reason, then the score alone in a tag:
<reason>WHY</reason>
<score>SCALE</score>)";

// "1-10" or "yes/no".
struct Scale {
  bool yes_no = false;
  double least = 0, most = 1;
  static constexpr double kFarthest = 1e15;

  static Result<Scale> parse(const std::string& text) {
    if (text == "yes/no") return Scale{.yes_no = true};
    const std::size_t dash = text.find('-', 1);
    Scale scale;
    const auto read = [](std::string_view part, double& value) {
      const auto [end, code] = std::from_chars(part.data(), part.data() + part.size(), value);
      return code == std::errc() && end == part.data() + part.size() && std::isfinite(value);
    };
    const std::string_view view(text);
    if (dash == std::string::npos || !read(view.substr(0, dash), scale.least) ||
        !read(view.substr(dash + 1), scale.most) || scale.least >= scale.most)
      return bad_input("scale: expected LOW-HIGH such as 1-10, or yes/no, got '" + text + "'");
    if (std::max(std::abs(scale.least), std::abs(scale.most)) > kFarthest)
      return bad_input("scale: a score beyond 1e15 has no exact integers; got '" + text + "'");
    return scale;
  }

  std::string in_words() const {
    if (yes_no) return "yes or no";
    return "a number from " + number(least) + " to " + number(most);
  }
  static std::string number(double value) {
    return json::serialize(std::nearbyint(value) == value && std::abs(value) <= kFarthest
                               ? json::value(static_cast<std::int64_t>(value))
                               : json::value(value));
  }

  // A score on this scale; nothing for anything else, also for a number outside of it.
  std::optional<double> read(std::string_view text) const {
    std::string word = lower_ascii(trimmed(text));
    while (!word.empty() && (word.back() == '.' || word.back() == '*')) word.pop_back();
    while (!word.empty() && word.front() == '*') word.erase(0, 1);
    if (yes_no) {
      if (word == "yes" || word == "true") return 1;
      if (word == "no" || word == "false") return 0;
      return std::nullopt;
    }
    // "7/10" is 7 on a scale that ends with 10.
    const std::string tail = "/" + number(most);
    if (word.ends_with(tail)) word.resize(word.size() - tail.size());
    const std::string digits(trimmed(word));
    double value = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (code != std::errc() || end != digits.data() + digits.size() || digits.empty())
      return std::nullopt;
    if (!std::isfinite(value) || value < least || value > most) return std::nullopt;
    return value;
  }

  // What a model too small to keep to the form may write, and nothing else.
  std::string grammar() const {
    std::string score = "\"yes\" | \"no\"";
    if (!yes_no) {
      score =
          "\"-\"? [0-9]{1,6} (\".\" [0-9]{1,4})?";  // a span of 1 leaves no room without decimals
      if (least == std::nearbyint(least) && most == std::nearbyint(most) && most - least <= 100 &&
          most - least > 1) {
        score.clear();
        const auto last = static_cast<std::int64_t>(most);
        for (auto value = static_cast<std::int64_t>(least); value <= last; ++value)
          score += (score.empty() ? "\"" : " | \"") + std::to_string(value) + "\"";
      }
    }
    return "root ::= \"<reason>\" [^<]{1,400} \"</reason>\\n<score>\" score \"</score>\"\nscore "
           "::= " +
           score + "\n";
  }
};

struct Scored {
  double value = 0;
  std::string reason;
};

// Between the last pair of these tags.
std::optional<std::string> last_tag(const std::string& text, const std::string& name) {
  const std::string lower = lower_ascii(text);
  const std::string open = "<" + name + ">", close = "</" + name + ">";
  const std::size_t at = lower.rfind(open);
  if (at == std::string::npos) return std::nullopt;
  const std::size_t from = at + open.size();
  const std::size_t to = lower.find(close, from);
  return text.substr(from, to == std::string::npos ? to : to - from);
}

// The last <score> behind the reason; else a reply that is {"score": ...}; else a last line that is
// a score, or "Score: ...". A reply that was cut has a score only where it had come to its end.
std::optional<Scored> read_score(const JudgeReply& said, const Scale& scale) {
  const std::string reply = behind_sections(said.text);
  const std::string reason = last_tag(said.text, "reason").value_or("");
  if (const auto tagged = last_tag(reply, "score")) {
    const bool ended = lower_ascii(trimmed(reply)).ends_with("</score>");
    if (const auto value = scale.read(*tagged); value && (ended || !said.cut))
      return Scored{*value, reason.empty() ? reply.substr(0, reply.find('<')) : reason};
    return std::nullopt;
  }
  if (const auto object = whole_object(reply, "score")) {
    const json::value& score = object->at("score");
    const std::string text =
        score.is_string() ? std::string(score.get_string()) : json::serialize(score);
    const auto* why = object->if_contains("reason");
    const auto value = score.is_number() && !scale.yes_no
                           ? scale.read(Scale::number(score.to_number<double>()))
                           : scale.read(text);
    if (value)
      return Scored{*value, why && why->is_string() ? std::string(why->get_string()) : reason};
    return std::nullopt;
  }
  if (said.cut) return std::nullopt;
  const std::string_view all = trimmed(reply);
  const std::size_t line = all.rfind('\n');
  std::string_view last = trimmed(line == std::string_view::npos ? all : all.substr(line + 1));
  if (lower_ascii(last.substr(0, 6)) == "score:") last = last.substr(6);
  if (const auto value = scale.read(last))
    return Scored{*value, std::string(line == std::string_view::npos ? "" : all.substr(0, line))};
  return std::nullopt;
}

class RubricJudge final : public Supervisor {
 public:
  RubricJudge(const Options& options, const SupervisorServices& services, Scale scale,
              const std::string& rubric)
      : judge_(services.judge ? services.judge("judge") : nullptr),
        services_(services),
        scale_(scale),
        votes_(static_cast<int>(options.integer("votes"))),
        temperature_(options.given("temperature") ? options.number("temperature")
                     : votes_ > 1                 ? 0.7
                                                  : 0.0),
        retries_(static_cast<int>(options.integer("retries"))),
        of_turns_(options.text("level") == "turn"),
        most_chars_(static_cast<std::size_t>(options.integer("max_chars"))) {
    if (options.given("stop_below")) stop_below_ = options.number("stop_below");
    system_ = kSystem;
    system_.replace(system_.rfind("FENCES"), 6, kFenceRule);
    system_.replace(system_.find("RUBRIC"), 6, rubric);
    system_.replace(system_.rfind("SCALE"), 5, scale_.in_words());
  }

  bool has_on_turn() const override { return of_turns_; }
  bool has_on_finished() const override { return !of_turns_; }
  bool decides() const override { return of_turns_ && stop_below_.has_value(); }

  Async<Result<void>> prepare() override {
    if (!judge_ || !judge_->model()) co_return missing("needs a judge: give --model judge=URI");
    auto can = co_await judge_->model()->capabilities();
    if (!can) co_return std::move(can).error();
    co_return Result<void>{};
  }

  Async<Result<Opinion>> on_turn(TrajectoryRef so_far) override {
    const std::size_t turn = so_far->turns.size() - 1;
    std::string before;
    for (std::size_t t = 0; t < turn; ++t)
      before += "turn " + std::to_string(t + 1) + "\n" + text_of(*so_far->turns[t]);
    std::string user = task_text(*so_far);
    user += "\n\nWhat happened before:\n" +
            (before.empty() ? "(nothing)" : fence("BEFORE", last_part(before, most_chars_)));
    user += "\n\nThe turn to judge:\n" +
            fence("TURN", last_part(text_of(*so_far->turns[turn]), most_chars_));
    auto opinion = co_await judged(so_far, std::move(user), LabelLevel::turn);
    if (!opinion) co_return opinion;
    const auto& score = opinion->labels[0].value;
    if (stop_below_ && score && *score < *stop_below_) {
      opinion->decision = Decision::stop;
      opinion->reason =
          "score " + Scale::number(*score) + " is below " + Scale::number(*stop_below_);
    }
    co_return opinion;
  }

  Async<Result<Opinion>> on_finished(TrajectoryRef whole) override {
    if (!ended_by_policy(whole->outcome)) {
      Opinion none;
      none.labels.push_back(not_judged("score", whole->outcome));
      co_return none;
    }
    std::string text;
    for (std::size_t t = 0; t < whole->turns.size(); ++t)
      text += "turn " + std::to_string(t + 1) + "\n" + text_of(*whole->turns[t]);
    if (whole->outcome.answer) text += "final answer: " + *whole->outcome.answer + "\n";
    std::string user =
        task_text(*whole) + "\n\nThe whole trajectory to judge:\n" +
        fence("TRAJECTORY", text.empty() ? "(nothing)" : last_part(text, most_chars_));
    auto opinion = co_await judged(whole, std::move(user), LabelLevel::trajectory);
    co_return opinion;
  }

 private:
  static std::string task_text(const Trajectory& trajectory) {
    return "The task:\n" + fence("TASK", trajectory.task ? trajectory.task->question() : "");
  }

  Async<Result<Opinion>> judged(TrajectoryRef trajectory, std::string user, LabelLevel level) {
    if (!judge_ || !judge_->model()) co_return missing("needs a judge");
    std::vector<Async<Verdict<Scored>>> calls;
    const auto until = services_.end_of_waiting();
    for (int vote = 0; vote < votes_; ++vote) calls.push_back(ask(trajectory, user, vote, until));
    auto verdicts = co_await gather(std::move(calls));
    Label label{.name = "score", .level = level};
    json::array votes;
    std::vector<Scored> scores;
    std::string unread;  // what there was instead of a score
    Turnout turnout;
    for (auto& verdict : verdicts) {
      turnout.add(verdict);
      label.cost += verdict.cost;
      votes.push_back(verdict.value ? json::value(verdict.value->value) : json::value(nullptr));
      if (verdict.value) scores.push_back(std::move(*verdict.value));
      if (unread.empty() && verdict.tries > 0) unread = verdict.reply;
    }
    if (turnout.is_failure()) co_return std::move(*turnout.failure);
    if (turnout.came == 0) unread = turnout.failure->message;
    label.evidence["votes"] = std::move(votes);
    turnout.tell(label.evidence);
    if (scores.empty()) {
      label.verdict = turnout.came == 0 ? "no_answer" : "unparsable";
      label.rationale = last_part(unread, 500);
    } else {
      double sum = 0;
      for (const Scored& score : scores) sum += score.value;
      label.value = sum / static_cast<double>(scores.size());
      if (scale_.yes_no)
        label.verdict = *label.value > .5 ? "yes" : *label.value < .5 ? "no" : "tie";
      // The reason of the vote that is nearest to what came out.
      const auto nearest =
          std::min_element(scores.begin(), scores.end(), [&](const Scored& a, const Scored& b) {
            return std::abs(a.value - *label.value) < std::abs(b.value - *label.value);
          });
      label.rationale = std::string(trimmed(nearest->reason));
    }
    Opinion opinion;
    opinion.labels.push_back(std::move(label));
    co_return opinion;
  }

  Async<Verdict<Scored>> ask(TrajectoryRef trajectory, std::string user, int vote,
                             std::chrono::steady_clock::time_point until) {
    JudgeQuestion question;
    question.messages = {{.role = "system", .content = json::string(system_)},
                         {.role = "user", .content = json::string(user)}};
    question.sampling.temperature = temperature_;
    question.sampling.seed = derive_seed(services_.seed, "judge", static_cast<std::uint64_t>(vote));
    question.sampling.max_tokens = 512;
    question.retries = retries_;
    question.until = until;
    // An embedded model is small: it is held to the form. Others are free to think at length.
    if (judge_->model()->backend() == "llama") question.grammar = scale_.grammar();
    question.asker.task_id = trajectory->task_id;
    question.asker.sample = trajectory->sample;
    question.asker.turn = std::max(0, static_cast<int>(trajectory->turns.size()) - 1);
    std::function<std::optional<Scored>(const JudgeReply&)> parse =
        [scale = scale_](const JudgeReply& reply) { return read_score(reply, scale); };
    auto verdict = co_await judge_->ask(std::move(question), std::move(parse));
    co_return verdict;
  }

  const std::shared_ptr<Judge> judge_;
  const SupervisorServices services_;
  const Scale scale_;
  const int votes_;
  const double temperature_;
  const int retries_;
  const bool of_turns_;
  const std::size_t most_chars_;
  std::optional<double> stop_below_;
  std::string system_;
};

Result<SupervisorRef> make_judge(const Options& options, const SupervisorServices& services) {
  auto scale = Scale::parse(options.text("scale"));
  if (!scale) return std::move(scale).error();
  std::string rubric = options.text("rubric");
  if (rubric.starts_with('@')) {
    auto file = read_file(rubric.substr(1));
    if (!file) return std::move(file).error().in("rubric");
    if (!is_utf8(*file))
      return bad_input("rubric: " + rubric.substr(1) + ": " + why_no_utf8(*file));
    rubric = std::move(*file);
  }
  if (trimmed(rubric).empty()) return bad_input("rubric: is empty; expected a text, or @FILE");
  if (options.given("stop_below") && options.text("level") != "turn")
    return bad_input("stop_below: a finished trajectory cannot be stopped; use level=turn");
  if (options.given("stop_below")) {
    const double stop = options.number("stop_below");
    if (stop < scale->least || stop > scale->most)
      return bad_input("stop_below: " + Scale::number(stop) + " is not on the scale; expected " +
                       (scale->yes_no ? "a share of yes, from 0 to 1" : scale->in_words()));
  }
  return SupervisorRef(
      std::make_shared<RubricJudge>(options, services, *scale, std::string(trimmed(rubric))));
}

REGISTER_SUPERVISOR(
    {.name = "judge",
     .summary = "a model scores each turn, or the trajectory, by a rubric of yours",
     .options = {{.name = "rubric",
                  .type = OptionType::text,
                  .fallback = kDefaultRubric,
                  .meaning = "what to judge by: a text, or @FILE"},
                 {.name = "scale",
                  .type = OptionType::text,
                  .fallback = "1-10",
                  .meaning = "what the judge may answer",
                  .range = "LOW-HIGH or yes/no"},
                 {.name = "votes",
                  .type = OptionType::integer,
                  .fallback = 1,
                  .meaning = "calls a judgement; the score is their mean",
                  .least = 1,
                  .most = 64},
                 {.name = "level",
                  .type = OptionType::choice,
                  .fallback = "turn",
                  .meaning = "what is scored",
                  .choices = {"turn", "trajectory"}},
                 {.name = "stop_below",
                  .type = OptionType::number,
                  .fallback = nullptr,
                  .meaning = "stops a rollout whose turn scores less; left out: never"},
                 {.name = "temperature",
                  .type = OptionType::number,
                  .fallback = nullptr,
                  .meaning = "left out: 0, and 0.7 with several votes",
                  .least = 0,
                  .most = 2},
                 {.name = "retries",
                  .type = OptionType::integer,
                  .fallback = 1,
                  .meaning = "after a reply without a score, at temperature + 0.3",
                  .least = 0,
                  .most = 16},
                 max_chars_option()},
     .labels = {"score (turn or trajectory)"},
     .roles = {"judge"}},
    make_judge)

}  // namespace
}  // namespace proctor
