// The table of subcommands.
#include "runtime/app/commands.h"

#include <csignal>

namespace proctor {
namespace {

std::atomic<bool> interrupted{false};

}  // namespace

const std::atomic<bool>& catch_interrupt() {
  for (const int signal : {SIGINT, SIGTERM})
    std::signal(signal, [](int number) {
      interrupted = true;
      std::signal(number, SIG_DFL);
    });
  return interrupted;
}

const std::vector<CommandRow>& commands() {
  static const std::vector<CommandRow> rows = {
      {"run", "roll out tasks under supervision into a run directory",
       "proctor run examples/quickstart.yaml --limit 6 --out runs/try", set_up_run},
      {"resume", "go on with a run after any stop", "proctor resume runs/try", set_up_resume},
      {"label", "score trajectories that exist already",
       "proctor label runs/try/trajectories.jsonl --supervise groundedprm:check=tool --out "
       "out.jsonl",
       set_up_label},
      {"exec", "run one program, or a batch, in the sandbox",
       "echo 'print(1 + 1)' | proctor exec --lang python -", set_up_exec},
      {"index", "build and query a search index",
       "proctor index query data/foldoc/index --k 3 'B language'", set_up_index},
      {"show", "a run or one trajectory in the terminal", "proctor show runs/try", set_up_show},
      {"export", "training data from a run",
       "proctor export runs/try --format proctor --out trajectories.jsonl", set_up_export},
      {"lint", "prove records: ids, masks, log-probabilities, labels", "proctor lint runs/try",
       set_up_lint},
      {"supervisors", "the supervisors there are, with their options",
       "proctor supervisors prlcoder", set_up_supervisors},
      {"tools", "the tools there are, with their parameters", "proctor tools search", set_up_tools},
      {"doctor", "what is usable on this machine, and what to do about the rest", "proctor doctor",
       set_up_doctor},
      {"bench", "measure this machine and name the bottleneck", "proctor bench loop --rollouts 64",
       set_up_bench},
  };
  return rows;
}

}  // namespace proctor
