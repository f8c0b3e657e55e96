// The outside of run_programs: makes the job for env/program_runner.py, reads its frames, compares.
//
// Blind spot: an integer beyond 64 bits is no JSON of ours, so that no test with args can give or
// expect one.
#include "env/program_tests.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <mutex>
#include <utility>

#include "runtime/core/code_fence.h"
#include "runtime/core/determinism.h"
#include "runtime/core/text.h"

namespace proctor {

extern const char kProgramRunner[];   // env/program_runner.py
extern const char kProgramHarness[];  // env/program_harness.h

namespace {

constexpr double kSecondsPerExecution = 60;
// Programs of one execution, so that a job spreads over the slots: a native one is compiled, one in
// Python is a fork. Not by the number of slots, since executions are counted in records.
constexpr std::size_t kNativePrograms = 8, kPythonPrograms = 64;
constexpr const char* kHarnessObject = "harness.o";

std::string spaces_trimmed(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n')
      while (!out.empty() && (out.back() == ' ' || out.back() == '\t' || out.back() == '\r'))
        out.pop_back();
    out += c;
  }
  while (!out.empty() && std::isspace(static_cast<unsigned char>(out.back()))) out.pop_back();
  return out;
}

std::string at(const std::string& list, std::size_t index) {
  return list + "[" + std::to_string(index) + "]";
}

Result<ProgramInput> read_input(const json::value& value, const std::string& path) {
  if (value.is_object()) {
    const json::object& object = value.as_object();
    const json::value* args = object.if_contains("args");
    const json::value* input = object.if_contains("stdin");
    if (args && args->is_array() && !input) return ProgramInput{.args = args->as_array()};
    if (input && input->is_string() && !args)
      return ProgramInput{.args = {}, .input = std::string(input->as_string())};
  }
  return bad_input(path + ": expected an object with either args (a list) or stdin (a text)");
}

Result<ProgramTest> read_test(const json::value& value, const std::string& path) {
  auto given = read_input(value, path);
  if (!given) return std::move(given).error();
  const json::object& object = value.as_object();
  ProgramTest test{.given = std::move(*given)};
  if (test.given.args) {
    const json::value* expect = object.if_contains("expect");
    if (!expect) return bad_input(path + ".expect: missing; a test with args says what to expect");
    test.expect = *expect;
    return test;
  }
  const json::value* output = object.if_contains("stdout");
  if (!output || !output->is_string())
    return bad_input(path + ".stdout: missing; a test with stdin says what is to be printed");
  test.output = std::string(output->as_string());
  return test;
}

template <class T, class Read>
Status read_list(const json::object& gold, std::string_view key, Read read, std::vector<T>& into) {
  const json::value* list = gold.if_contains(key);
  const std::string path = "gold." + std::string(key);
  if (!list || list->is_null()) return {};
  if (!list->is_array()) return bad_input(path + ": expected a list");
  for (std::size_t i = 0; i < list->as_array().size(); ++i) {
    auto entry = read(list->as_array()[i], at(path, i));
    if (!entry) return std::move(entry).error();
    into.push_back(std::move(*entry));
  }
  return {};
}

Status check_task(const ProgramTask& task) {
  bool by_arguments = false, by_input = false;
  for (const ProgramTest& test : task.tests) (test.given.args ? by_arguments : by_input) = true;
  if (by_arguments && by_input)
    return bad_input("gold.tests: either all tests have args, or all have stdin");
  for (const ProgramInput& probe : task.probes)
    if ((!task.tests.empty()) && probe.args.has_value() != by_arguments)
      return bad_input("gold.probes: they must be of the same kind as gold.tests");
  if (by_arguments && task.language == Language::c)
    return bad_input("gold.tests: programs in C are tested with stdin and stdout, not with args");
  if (by_arguments && task.entry_point.empty())
    return bad_input("gold.entry_point: missing; tests with args call it");
  return {};
}

bool is_identifier(std::string_view text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0]))) return false;
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '_' || c == ':'; });
}

Milliseconds limit_of(const ProgramJob& job, std::size_t input) {
  if (job.limits.empty()) return 2s;
  return job.limits[std::min(input, job.limits.size() - 1)];
}

bool by_arguments(const ProgramJob& job) {
  return !job.inputs.empty() ? job.inputs.front().args.has_value() : !job.entry_point.empty();
}

bool needs_harness(const ProgramJob& job) {
  return job.language != Language::python && by_arguments(job) && !job.inputs.empty();
}

ExecutionRequest request_for(const ProgramJob& job, std::size_t first, const std::string& mark) {
  const bool native = job.language != Language::python;
  json::array programs, inputs, limits;
  for (const std::string& program : job.programs) programs.emplace_back(program);
  double longest = 0;
  for (std::size_t i = 0; i < job.inputs.size(); ++i) {
    const ProgramInput& input = job.inputs[i];
    const std::string args = input.args ? json::serialize(*input.args) : "";
    if (native || !input.args)
      inputs.push_back(json::object{{"stdin", input.args ? args : input.input}});
    else
      inputs.push_back(json::object{{"args", args}});
    limits.push_back(static_cast<double>(limit_of(job, i).count()) / 1000.0);
    longest = std::max(longest, limits.back().as_double());
  }
  // The longest that one program may take: its compilers or interpreter, and its inputs, of which a
  // few may run out of time. The last is begun when the time for new ones is over. A program that
  // stops its runner holds the slot for no longer than that.
  const double one = (native ? 240 : 10) + (longest + 6) * job.most_timeouts +
                     0.2 * static_cast<double>(job.inputs.size());
  const double before_the_last =
      std::min(kSecondsPerExecution, one * static_cast<double>(job.programs.size() - first - 1));

  ExecutionRequest request;
  request.language = Language::python;
  request.code = kProgramRunner;
  request.files["job.json"] = json::serialize(json::object{
      {"mark", mark},
      {"first", first},
      {"seconds", kSecondsPerExecution},
      {"language", to_string(job.language)},
      {"entry_point", job.entry_point},
      {"by_arguments", by_arguments(job)},
      {"harness", needs_harness(job) ? "#line 1 \"entry_point\"\n#define PROCTOR_ENTRY_POINT " +
                                           job.entry_point + "\n" + kProgramHarness
                                     : std::string()},
      {"programs", std::move(programs)},
      {"inputs", std::move(inputs)},
      {"limits", std::move(limits)},
      {"most_timeouts", job.most_timeouts},
      // As Python writes it, with escapes, an equal value may be longer than ours.
      {"most_text", std::size_t{64} * 1024 + 6 * job.longest},
      {"want_lines", job.want_lines},
      {"want_forms", job.want_forms},
      {"memory", count(job.memory)}});
  request.limits.wall = Milliseconds(static_cast<std::int64_t>((before_the_last + one) * 1000));
  request.limits.cpu = request.limits.wall;
  request.limits.memory = static_cast<Bytes>(count(job.memory) + count(256_MiB));
  request.limits.output = 64_MiB;
  request.limits.processes = 64;
  return request;
}

ProgramRun read_run(const json::object& frame, bool args) {
  const auto text = [&](std::string_view key) {
    const json::value* value = frame.if_contains(key);
    return value && value->is_string() ? std::string(value->as_string()) : std::string();
  };
  ProgramRun run;
  if (const json::value* ms = frame.if_contains("ms"); ms && ms->is_number())
    run.ms = ms->to_number<double>();
  run.detail = text("detail");
  if (frame.contains("timeout")) {
    run.ending = RunEnding::timeout;
  } else if (frame.contains("error")) {
    run.ending = RunEnding::exception;
    run.error = text("error");
  } else {
    run.value = text("value");
    auto parsed = args ? parse_json(run.value) : Result<json::value>(json::value());
    if (args && parsed) run.value = canonical_value(*parsed);
  }
  return run;
}

struct Progress {
  std::size_t next;    // the first program that is not done
  bool begun = false;  // `next` has begun
};

// Frames may be forged by a program, so nothing in them is taken for granted.
Progress read_frames(std::string_view out, const std::string& mark, const ProgramJob& job,
                     std::size_t first, std::vector<ProgramReport>& reports) {
  Progress progress{first};
  while (!out.empty()) {
    const std::size_t end = std::min(out.find('\n'), out.size());
    std::string_view line = out.substr(0, end);
    out.remove_prefix(std::min(end + 1, out.size()));
    if (!line.starts_with(mark)) continue;
    auto parsed = parse_json(line.substr(mark.size()));
    if (!parsed || !parsed->is_object()) continue;
    const json::object& frame = parsed->as_object();
    const json::value* number = frame.if_contains("program");
    if (!number || !number->is_int64() || progress.next >= reports.size() ||
        number->as_int64() != static_cast<std::int64_t>(progress.next))
      continue;

    ProgramReport& report = reports[progress.next];
    if (frame.contains("begin")) {
      progress.begun = true;
    } else if (frame.contains("end")) {
      ++progress.next;
      progress.begun = false;
    } else if (const json::value* complaint = frame.if_contains("compile_error")) {
      report.compiled = false;
      if (complaint->is_string()) report.compile_error = std::string(complaint->as_string());
    } else if (const json::value* run = frame.if_contains("run")) {
      const bool fits = run->is_int64() && report.runs.size() < job.inputs.size() &&
                        run->as_int64() == static_cast<std::int64_t>(report.runs.size());
      if (fits) report.runs.push_back(read_run(frame, by_arguments(job)));
    } else if (const json::value* lines = frame.if_contains("lines"); lines && lines->is_array()) {
      for (const json::value& entry : lines->as_array())
        if (entry.is_int64()) report.lines.insert(static_cast<int>(entry.as_int64()));
    } else if (const json::value* forms = frame.if_contains("forms"); forms && forms->is_array()) {
      for (const json::value& entry : forms->as_array())
        if (entry.is_string()) report.forms.emplace_back(entry.as_string());
    }
  }
  return progress;
}

std::string tail(std::string_view text) {
  return std::string(text.substr(text.size() > 400 ? text.size() - 400 : 0));
}

}  // namespace

json::object to_json(const ProgramInput& input) {
  if (input.args) return {{"args", *input.args}};
  return {{"stdin", input.input}};
}

Result<ProgramTask> read_program_task(const json::object& gold) {
  ProgramTask task;
  Fields fields(gold, "gold");
  const std::string language = fields.text_or("language", "python");
  task.entry_point = fields.text_or("entry_point", "");
  task.solution = fields.optional_text("solution");
  if (!fields.status()) return Error(fields.status().error());
  const auto parsed = parse_language(language);
  if (!parsed ||
      (*parsed != Language::python && *parsed != Language::c && *parsed != Language::cpp))
    return bad_input("gold.language: expected python, c or cpp, got '" + language + "'");
  task.language = *parsed;
  if (!task.entry_point.empty() && !is_identifier(task.entry_point))
    return bad_input("gold.entry_point: expected the name of a function, got '" + task.entry_point +
                     "'");
  if (auto read = read_list(gold, "tests", read_test, task.tests); !read)
    return std::move(read).error();
  if (auto read = read_list(gold, "probes", read_input, task.probes); !read)
    return std::move(read).error();
  if (auto checked = check_task(task); !checked) return std::move(checked).error();
  return task;
}

std::size_t longest_expected(const ProgramTask& task) {
  std::size_t longest = 0;
  for (const ProgramTest& test : task.tests)
    longest = std::max(longest,
                       test.given.args ? canonical_value(test.expect).size() : test.output.size());
  return longest;
}

bool passes(const ProgramTest& test, const ProgramRun& run) {
  if (run.ending != RunEnding::ok) return false;
  if (test.given.args) return run.value == canonical_value(test.expect);
  return spaces_trimmed(run.value) == spaces_trimmed(test.output);
}

namespace {

// The half of the harness that is the same for all programs, compiled once a process. In an
// execution of its own: where programs run, one of them could have changed it.
Async<Result<std::string>> harness_object(SandboxPool* sandbox, ProgramJob job) {
  static std::mutex mutex;
  static std::string compiled;
  {
    const std::lock_guard lock(mutex);
    if (!compiled.empty()) co_return compiled;
  }
  job.programs.clear();
  ExecutionRequest request = request_for(job, 0, "");
  request.get = {kHarnessObject};
  auto ran = co_await sandbox->run(std::move(request));
  if (!ran) co_return std::move(ran).error();
  if (ran->files[kHarnessObject].empty())
    co_return internal_error("no harness: " + ran->error + tail(ran->err));
  const std::lock_guard lock(mutex);
  compiled = ran->files[kHarnessObject];
  co_return compiled;
}

struct Ran {
  std::vector<ProgramReport> reports;
  std::int64_t executions = 0;
};

Async<Result<Ran>> run_some(SandboxPool* sandbox, ProgramJob job, std::string harness) {
  Ran done;
  std::vector<ProgramReport>& reports = done.reports;
  reports.resize(job.programs.size());
  std::string all;
  for (const std::string& program : job.programs) all += program + '\0';
  const std::string mark = "@" + hex64(hash64(all)) + " ";

  std::size_t first = 0;
  while (first < reports.size()) {
    ExecutionRequest request = request_for(job, first, mark);
    if (!harness.empty()) request.files[kHarnessObject] = harness;
    auto ran = co_await sandbox->run(std::move(request));
    if (!ran) co_return std::move(ran).error();
    ++done.executions;
    if (ran->ending == Ending::sandbox_error)
      co_return internal_error("the sandbox failed: " + ran->error);
    const Progress progress = read_frames(ran->out, mark, job, first, reports);
    if (progress.next == first && !progress.begun)
      co_return internal_error(std::string("nothing ran (") + to_string(ran->ending) +
                               "): " + tail(ran->err));
    first = progress.next;
    if (!progress.begun) continue;
    // It took the whole execution down with it: killed by a limit counts as out of time.
    ProgramReport& report = reports[first++];
    if (report.compiled && report.runs.size() < job.inputs.size())
      report.runs.push_back({.ending = RunEnding::timeout, .detail = to_string(ran->ending)});
  }
  co_return done;
}

}  // namespace

Async<Result<std::vector<ProgramReport>>> run_programs(SandboxPool* sandbox, ProgramJob job,
                                                       std::int64_t* executions) {
  PROCTOR_CHECK(sandbox != nullptr);
  std::string harness;
  if (needs_harness(job)) {
    auto compiled = co_await harness_object(sandbox, job);
    if (!compiled) co_return std::move(compiled).error().in("running programs");
    harness = std::move(*compiled);
  }
  const std::vector<std::string> programs = std::exchange(job.programs, {});
  const std::size_t most = job.language == Language::python ? kPythonPrograms : kNativePrograms;
  std::vector<Async<Result<Ran>>> works;
  for (std::size_t at = 0; at < programs.size(); at += most) {
    ProgramJob some = job;
    const auto first = programs.begin() + static_cast<std::ptrdiff_t>(at);
    some.programs.assign(first,
                         first + static_cast<std::ptrdiff_t>(std::min(most, programs.size() - at)));
    works.push_back(run_some(sandbox, std::move(some), harness));
  }
  auto results = co_await gather(std::move(works));
  std::vector<ProgramReport> reports;
  for (auto& ran : results) {
    if (!ran) co_return std::move(ran).error().in("running programs");
    if (executions) *executions += ran->executions;
    std::move(ran->reports.begin(), ran->reports.end(), std::back_inserter(reports));
  }
  co_return reports;
}

std::string canonical_value(const json::value& value) {
  if (value.is_double()) {
    const double number = value.as_double();
    if (std::floor(number) == number && std::abs(number) < 9007199254740992.0)
      return std::to_string(static_cast<std::int64_t>(number));
    return readable_json(value);
  }
  if (value.is_array()) {
    std::string out = "[";
    for (const json::value& item : value.as_array())
      out += (out.size() > 1 ? "," : "") + canonical_value(item);
    return out + "]";
  }
  if (value.is_object()) {
    std::map<std::string, std::string> members;
    for (const auto& [key, item] : value.as_object())
      members[json::serialize(json::value(key))] = canonical_value(item);
    std::string out = "{";
    for (const auto& [key, item] : members)
      out.append(out.size() > 1 ? "," : "").append(key).append(":").append(item);
    return out.append("}");
  }
  return json::serialize(value);
}

std::optional<std::string> last_code_block(std::string_view text) {
  const std::vector<CodeBlock> blocks = code_blocks(text);
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block)
    if (block->closed || !block->code.empty()) return block->code;
  return std::nullopt;
}

std::string program_of_answer(std::string_view content, const std::string& answer) {
  constexpr std::string_view kOpen = "<answer>", kClose = "</answer>";
  if (const std::size_t open = content.rfind(kOpen); open != std::string_view::npos) {
    content.remove_prefix(open + kOpen.size());
    content = content.substr(0, content.find(kClose));
  }
  if (auto block = last_code_block(content)) return *block;
  return last_code_block(answer).value_or(answer);
}

}  // namespace proctor
