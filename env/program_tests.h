// Runs programs against inputs in the sandbox, several in one execution, and tells how each went.
//
// What is expected of a program never enters the sandbox: results come out and are compared here,
// so that a program can only pass by computing the right values. Blind spot: the programs of one
// job may share an execution, so one of them may disturb its neighbours (never flatter itself).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/core/async.h"
#include "runtime/core/json.h"
#include "sandbox/sandbox.h"

namespace proctor {

// What a program is given: the entry point's arguments, or its standard input.
struct ProgramInput {
  std::optional<json::array> args;
  std::string input;

  bool operator==(const ProgramInput&) const = default;
};
// {"args": [...]} or {"stdin": "..."}, as failing inputs are shown in evidence.
json::object to_json(const ProgramInput& input);

struct ProgramTest {
  ProgramInput given;
  json::value expect;  // with args
  std::string output;  // with stdin
};

// gold.language, gold.entry_point, gold.tests and gold.probes of a task.
struct ProgramTask {
  Language language = Language::python;
  std::string entry_point;
  std::vector<ProgramTest> tests;
  std::vector<ProgramInput> probes;
  std::optional<std::string> solution;
};
// `bad_input` names the field: "gold.tests[2]: expected args and expect, or stdin and stdout".
Result<ProgramTask> read_program_task(const json::object& gold);

enum class RunEnding { ok, exception, timeout };  // timeout: or killed by another limit

// How one program did on one input.
struct ProgramRun {
  RunEnding ending = RunEnding::ok;
  // With args: the returned value as canonical JSON, where numbers of equal value read equally and
  // what JSON cannot say is marked. With stdin: what was printed.
  std::string value;
  std::string error;   // "ValueError", "exit status 3", "signal 11"
  std::string detail;  // the exception's message, for people
  double ms = 0;
};

// How one program did on all inputs of the job.
struct ProgramReport {
  bool compiled = true;
  std::string compile_error;
  std::vector<ProgramRun> runs;  // one an input; fewer after a time-out that ended them
  // Executed, from 0, only where asked for; in Python by inputs that did not fail.
  std::set<int> lines;
  // Equal forms do the same (equal bytecode or assembly); empty where there is none.
  std::vector<std::string> forms;
};

struct ProgramJob {
  Language language = Language::python;
  std::string entry_point;
  std::vector<std::string> programs;
  std::vector<ProgramInput> inputs;
  std::vector<Milliseconds> limits;  // one an input, or one for all
  int most_timeouts = 1;             // a program's runs end after so many that ran out of time
  bool want_lines = false;
  bool want_forms = false;
  Bytes memory = 256_MiB;  // of one program
  std::size_t longest =
      0;  // bytes of the longest result that is expected; much longer ones are cut
};
// Of what the task's tests expect, for ProgramJob::longest.
std::size_t longest_expected(const ProgramTask& task);

// By value; of printed text trailing white space is ignored.
bool passes(const ProgramTest& test, const ProgramRun& run);

// One report a program, in order; many programs are spread over the sandbox's slots. An Error when
// the sandbox fails. Counts its executions in
// `executions` where given; the pointer must outlive the call.
Async<Result<std::vector<ProgramReport>>> run_programs(SandboxPool* sandbox, ProgramJob job,
                                                       std::int64_t* executions = nullptr);

// Canonical JSON in which 1.0 reads 1, so that values compare as text.
std::string canonical_value(const json::value& value);

// The last fenced code block of a text (in a list as well), without its fences and what these are
// indented by; nothing when there is none.
std::optional<std::string> last_code_block(std::string_view text);

// The program that a last turn answers with: the last code block of what stands in its last
// <answer>, or of all of it where it has none; else the answer as its format read it.
std::string program_of_answer(std::string_view content, const std::string& answer);

}  // namespace proctor
