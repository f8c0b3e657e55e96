// What a supervisor does where its file says nothing, and making one from its use.
#include "supervisors/supervisor.h"

#include <algorithm>

namespace proctor {

Async<Result<void>> Supervisor::prepare() { co_return Result<void>{}; }

Status Supervisor::accepts(const Trajectory&) const { return {}; }

std::optional<std::string> Supervisor::lacks(const Trajectory&) const { return std::nullopt; }

std::optional<std::string> Supervisor::idle_in_runs(int) const { return std::nullopt; }

Async<Result<Opinion>> Supervisor::on_turn(TrajectoryRef) { co_return Opinion{}; }

Async<Result<Opinion>> Supervisor::on_finished(TrajectoryRef) { co_return Opinion{}; }

Async<Result<std::vector<MemberOpinion>>> Supervisor::on_group(Group group) {
  co_return std::vector<MemberOpinion>(group.size());
}

Async<Result<std::vector<json::object>>> Deriver::finish() {
  co_return std::vector<json::object>{};
}

bool SupervisorInstance::is_meant_for(const Trajectory& trajectory) const {
  if (suites.empty()) return true;
  return trajectory.task && std::find(suites.begin(), suites.end(),
                                      shown_suite(trajectory.task->suite)) != suites.end();
}

bool SupervisorInstance::looks_at(const Trajectory& trajectory) const {
  return is_meant_for(trajectory) && !supervisor->lacks(trajectory);
}

Result<SupervisorInstance> make_supervisor(const PluginUse& use,
                                           const SupervisorServices& services) {
  const auto& registry = Registry<SupervisorMaker>::instance();
  const auto* entry = registry.find(use.name);
  if (!entry) return registry.unknown("supervisor", use.name);
  auto options = Options::parse(use.options, entry->info.options, use.name);
  if (!options) return std::move(options).error();
  SupervisorServices own = services;
  own.alias = use.alias;
  auto supervisor = entry->make(*options, own);
  if (!supervisor) return std::move(supervisor).error().in(use.name);
  return SupervisorInstance{use.name, use.alias, std::move(*supervisor), use.suites};
}

}  // namespace proctor
