// One row a trajectory and one a sum; a supervisor's verdicts are few words, each a row of its own,
// and so is each reason why one failed.
#include "runtime/store_columns.h"

#include <algorithm>
#include <utility>

#include "runtime/core/json.h"
#include "runtime/opinions.h"
#include "runtime/record_text.h"
#include "supervisors/grading.h"

namespace proctor {
namespace {

std::optional<std::string> failure_of(const Outcome& outcome) {
  if (outcome.status == OutcomeStatus::error)
    return outcome.error.value_or("no reason was recorded");
  if (auto why = why_ungraded(outcome)) return kNotGraded + *why;
  return std::nullopt;
}

std::int64_t failed_calls(const Turn& turn) {
  return std::count_if(
      turn.observations.begin(), turn.observations.end(), [](const Observation& observation) {
        return !observation.tool_call_id.empty() && observation.status != ObservationStatus::ok;
      });
}

}  // namespace

TrajectoryRow row_of(const Trajectory& trajectory) {
  const Outcome& outcome = trajectory.outcome;
  TrajectoryRow row{.id = trajectory.id,
                    .task_id = trajectory.task_id,
                    .group_id = trajectory.group(),
                    .suite = trajectory.task ? trajectory.task->suite : "",
                    .sample = trajectory.sample,
                    .status = to_string(outcome.status),
                    .reward = outcome.reward,
                    .correct = outcome.correct,
                    .failure = failure_of(outcome),
                    .turns = static_cast<int>(trajectory.turns.size())};
  for (const auto& turn : trajectory.turns) {
    row.parse_errors += turn->assistant.parse_error.has_value() ? 1 : 0;
    row.tool_calls += static_cast<std::int64_t>(turn->assistant.tool_calls.size());
    row.tool_errors += failed_calls(*turn);
  }
  if (const auto* usage = trajectory.extra.if_contains("usage"); usage && usage->is_object()) {
    Fields fields(usage->get_object(), "usage");
    row.prompt_tokens = fields.integer_or("prompt_tokens", 0);
    row.completion_tokens = fields.integer_or("completion_tokens", 0);
    row.cost = fields.number_or("cost", 0);
  }
  return row;
}

void LabelSums::add(const Label& label) {
  LabelTotal& sum = sums_[{label.supervisor, label.name, to_string(label.level)}];
  ++sum.count;
  if (label.value) {
    ++sum.valued;
    sum.total += *label.value;
  }
  if (label.verdict) ++sum.verdicts[*label.verdict];
  if (is_failed_supervision(label))
    ++sum.reasons[speaker_of(label) + " failed: " + label.rationale.value_or("")];
  sum.failed += label.evidence.contains("error") ? 1 : 0;
  sum.model_calls += label.cost.model_calls;
  sum.executions += label.cost.executions;
  sum.wall_ms += label.cost.wall_ms;
}

std::vector<LabelTotal> LabelSums::totals() const {
  std::vector<LabelTotal> totals;
  totals.reserve(sums_.size());
  for (const auto& [key, sum] : sums_) {
    totals.push_back(sum);
    totals.back().supervisor = std::get<0>(key);
    totals.back().name = std::get<1>(key);
    totals.back().level = std::get<2>(key);
  }
  return totals;
}

Result<ColumnWriter> ColumnWriter::make(Database& database) {
  ColumnWriter writer;
  const std::pair<Statement*, const char*> wanted[] = {
      {&writer.upsert_row_,
       "INSERT INTO trajectories(id, task_id, group_id, suite, sample, status, reward, correct, "
       "failure, turns, parse_errors, tool_calls, tool_errors, prompt_tokens, completion_tokens, "
       "cost) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) "
       "ON CONFLICT(id) DO UPDATE SET task_id = excluded.task_id, group_id = excluded.group_id, "
       "suite = excluded.suite, sample = excluded.sample, status = excluded.status, "
       "reward = excluded.reward, correct = excluded.correct, failure = excluded.failure, "
       "turns = excluded.turns, parse_errors = excluded.parse_errors, "
       "tool_calls = excluded.tool_calls, tool_errors = excluded.tool_errors, "
       "prompt_tokens = excluded.prompt_tokens, "
       "completion_tokens = excluded.completion_tokens, cost = excluded.cost RETURNING number"},
      {&writer.drop_sums_, "DELETE FROM label_sums WHERE trajectory = ?1"},
      {&writer.drop_verdicts_, "DELETE FROM verdict_sums WHERE trajectory = ?1"},
      {&writer.drop_reasons_, "DELETE FROM reason_sums WHERE trajectory = ?1"},
      {&writer.insert_sum_,
       "INSERT INTO label_sums VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"},
      {&writer.insert_verdicts_, "INSERT INTO verdict_sums VALUES(?1, ?2, ?3, ?4, ?5, ?6)"},
      {&writer.insert_reasons_, "INSERT INTO reason_sums VALUES(?1, ?2, ?3, ?4, ?5, ?6)"},
  };
  for (const auto& [statement, sql] : wanted) {
    auto prepared = database.prepare(sql);
    if (!prepared) return std::move(prepared).error();
    *statement = std::move(*prepared);
  }
  return writer;
}

Result<std::int64_t> ColumnWriter::write(const Trajectory& trajectory) {
  auto number = write_row(row_of(trajectory));
  if (!number) return number;
  LabelSums sums;
  sums.add(trajectory.labels);
  if (auto done = write_sums(*number, sums.totals()); !done) return std::move(done).error();
  return number;
}

Result<std::int64_t> ColumnWriter::write_row(const TrajectoryRow& row) {
  std::optional<std::int64_t> correct;
  if (row.correct) correct = *row.correct ? 1 : 0;
  std::optional<std::string_view> failure;
  if (row.failure) failure = *row.failure;
  upsert_row_.bind(1, std::string_view(row.id))
      .bind(2, std::string_view(row.task_id))
      .bind(3, std::string_view(row.group_id))
      .bind(4, std::string_view(row.suite))
      .bind(5, std::int64_t{row.sample})
      .bind(6, std::string_view(row.status))
      .bind_optional(7, row.reward)
      .bind_optional(8, correct)
      .bind_optional(9, failure)
      .bind(10, std::int64_t{row.turns})
      .bind(11, row.parse_errors)
      .bind(12, row.tool_calls)
      .bind(13, row.tool_errors)
      .bind(14, row.prompt_tokens)
      .bind(15, row.completion_tokens)
      .bind(16, row.cost);
  auto written = upsert_row_.step();
  if (!written) return std::move(written).error();
  const std::int64_t number = upsert_row_.integer(0);
  upsert_row_.reset();
  return number;
}

Status ColumnWriter::write_sums(std::int64_t number, const std::vector<LabelTotal>& totals) {
  for (Statement* drop : {&drop_sums_, &drop_verdicts_, &drop_reasons_})
    if (auto done = drop->bind(1, number).run(); !done) return done;
  for (const LabelTotal& sum : totals) {
    insert_sum_.bind(1, number)
        .bind(2, std::string_view(sum.supervisor))
        .bind(3, std::string_view(sum.name))
        .bind(4, std::string_view(sum.level))
        .bind(5, sum.count)
        .bind(6, sum.valued)
        .bind(7, sum.total)
        .bind(8, sum.failed)
        .bind(9, sum.model_calls)
        .bind(10, sum.executions)
        .bind(11, sum.wall_ms);
    if (auto done = insert_sum_.run(); !done) return done;
    if (auto done = write_words(insert_verdicts_, number, sum, sum.verdicts); !done) return done;
    if (auto done = write_words(insert_reasons_, number, sum, sum.reasons); !done) return done;
  }
  return {};
}

Status ColumnWriter::write_words(Statement& insert, std::int64_t number, const LabelTotal& sum,
                                 const std::map<std::string, std::int64_t>& words) {
  for (const auto& [word, count] : words) {
    insert.bind(1, number)
        .bind(2, std::string_view(sum.supervisor))
        .bind(3, std::string_view(sum.name))
        .bind(4, std::string_view(sum.level))
        .bind(5, std::string_view(word))
        .bind(6, count);
    if (auto done = insert.run(); !done) return done;
  }
  return {};
}

Status rewrite_columns(Database& database) {
  auto writer = ColumnWriter::make(database);
  if (!writer) return std::move(writer).error();
  auto records = database.prepare("SELECT record FROM records ORDER BY number");
  if (!records) return std::move(records).error();
  RecordUnpacker unpacker;
  for (;;) {
    auto more = records->step();
    if (!more) return std::move(more).error();
    if (!*more) return {};
    auto text = unpacker.unpack(records->text(0));
    if (!text) continue;
    auto value = parse_json(*text, kRecordLevels);
    if (!value) continue;
    auto trajectory = read_trajectory(*value);
    if (!trajectory) continue;
    if (auto done = writer->write(*trajectory); !done) return std::move(done).error();
  }
}

}  // namespace proctor
