// Commands whose file is not written yet; each weak definition goes when its command comes.
#include "runtime/app/commands.h"

namespace proctor {
namespace {
std::function<Result<int>()> not_yet(CLI::App& command) {
  return [name = command.get_name()]() -> Result<int> {
    return missing("'" + name + "' is not in this build yet");
  };
}
}  // namespace
#define PENDING(name)                                                                   \
  __attribute__((weak)) std::function<Result<int>()> set_up_##name(CLI::App& command) { \
    return not_yet(command);                                                            \
  }
PENDING(run)
PENDING(resume)
PENDING(label) PENDING(exec) PENDING(index) PENDING(show) PENDING(export) PENDING(lint)
    PENDING(supervisors) PENDING(tools) 
}  // namespace proctor
