// by_task — asks the checker that the task names in metadata.checker, else the one by default: for
// suites that mix kinds of tasks.
#include <map>

#include "env/suite.h"

namespace proctor {
namespace {

class ByTask final : public Checker {
 public:
  ByTask(std::string fallback, std::map<std::string, CheckerRef> checkers)
      : fallback_(std::move(fallback)), checkers_(std::move(checkers)) {}

  Async<Result<Grade>> check(TrajectoryRef so_far) override {
    std::string name = fallback_;
    const json::value* named = so_far->task->metadata.if_contains("checker");
    if (named && named->is_string()) name = std::string(named->as_string());
    const auto found = checkers_.find(name);
    if (found == checkers_.end()) {
      co_return bad_input("task " + so_far->task->id + ": metadata.checker is '" + name +
                          "', which is not among the checkers of by_task");
    }
    co_return co_await found->second->check(so_far);
  }

 private:
  std::string fallback_;
  std::map<std::string, CheckerRef> checkers_;
};

Result<CheckerRef> make(const Options& options, const CheckerServices& services) {
  std::map<std::string, CheckerRef> checkers;
  const auto& registry = Registry<CheckerMaker>::instance();
  for (const std::string& name : options.list("checkers")) {
    const auto* entry = registry.find(name);
    if (!entry || name == "by_task") return registry.unknown("checker", name);
    auto parsed = Options::parse({}, entry->info.options, "checker " + name);
    if (!parsed) return std::move(parsed).error();
    auto made = entry->make(*parsed, services);
    if (!made) return std::move(made).error();
    checkers.emplace(name, std::move(*made));
  }
  const std::string fallback = options.text("default");
  if (!checkers.contains(fallback))
    return bad_input("checker by_task: the default '" + fallback + "' is not among its checkers");
  return CheckerRef(std::make_shared<ByTask>(fallback, std::move(checkers)));
}

REGISTER_CHECKER(PluginInfo{.name = "by_task",
                            .summary = "the checker that the task's metadata.checker names",
                            .options = {{.name = "checkers",
                                         .type = OptionType::list,
                                         .fallback = json::array{"numeric", "game24"},
                                         .meaning = "what tasks may name"},
                                        {.name = "default",
                                         .type = OptionType::text,
                                         .fallback = "numeric",
                                         .meaning = "for tasks that name none"}}},
                 make)

}  // namespace
}  // namespace proctor
