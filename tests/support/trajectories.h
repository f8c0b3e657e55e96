// Small trajectories for tests of what stores, checks and shows them.
#pragma once

#include <memory>
#include <string>

#include "runtime/core/records.h"

namespace proctor {

inline TurnRef make_turn(int index, const std::string& content = "") {
  Turn turn;
  turn.index = index;
  turn.assistant.content = content.empty() ? "turn " + std::to_string(index) : content;
  turn.assistant.finish_reason = "tool_calls";
  turn.assistant.tool_calls.push_back({.id = "c" + std::to_string(index),
                                       .name = "search",
                                       .arguments = {{"query", "B language"}}});
  Observation observation;
  observation.tool_call_id = "c" + std::to_string(index);
  observation.name = "search";
  observation.content = "Ken Thompson wrote B.";
  turn.observations.push_back(observation);
  turn.timing.started = "2026-01-01T00:00:00.000Z";
  return std::make_shared<const Turn>(std::move(turn));
}

inline Label make_label(const std::string& supervisor, int turn, double value) {
  Label label;
  label.supervisor = supervisor;
  label.name = "score";
  label.turn = turn;
  label.value = value;
  label.verdict = value > 0 ? "correct" : "incorrect";
  return label;
}

// A trajectory without turns, as a rollout begins.
inline Trajectory make_start(const std::string& task_id, int sample = 0) {
  auto task = std::make_shared<Task>();
  task->id = task_id;
  task->suite = "qa";
  task->prompt = "Who designed the B language?";
  Trajectory start;
  start.id = "r-" + task_id + "-" + std::to_string(sample);
  start.run_id = "r";
  start.task_id = task_id;
  start.group_id = task_id;
  start.sample = sample;
  start.task = task;
  start.policy = json::object{{"backend", "script"}, {"model", "test"}};
  Message question{.role = "user", .content = json::value("Who designed the B language?")};
  start.prefix = std::make_shared<const std::vector<Message>>(1, question);
  start.created = "2026-01-01T00:00:00.000Z";
  start.versions = json::object{{"proctor", kVersion}};
  return start;
}

// The same with so many turns and an answer.
inline Trajectory make_finished(const std::string& task_id, int sample = 0, int turns = 2) {
  Trajectory whole = make_start(task_id, sample);
  for (int i = 0; i < turns; ++i) whole.turns.push_back(make_turn(i));
  whole.outcome.status = OutcomeStatus::answered;
  whole.outcome.answer = "Ken Thompson";
  whole.outcome.reward = 1.0;
  whole.outcome.correct = true;
  return whole;
}

inline TrajectoryRef shared(Trajectory trajectory) {
  return std::make_shared<const Trajectory>(std::move(trajectory));
}

}  // namespace proctor
