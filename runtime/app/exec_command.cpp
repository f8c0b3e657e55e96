// `proctor exec`: one program, or a batch of them through one warm pool, in the sandbox.
//
// How a program ends is data: the record says so, and the exit code is 0. In a batch, what cannot
// be run is data too: its record has the status sandbox_error, the others go on, and the exit code
// is 1. But a file that begins with no object is no batch, and nothing of it is run.
#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <condition_variable>
#include <filesystem>
#include <iostream>
#include <map>
#include <mutex>

#include "runtime/app/commands.h"
#include "runtime/core/config.h"
#include "runtime/core/event_loop.h"
#include "runtime/core/harmless.h"
#include "runtime/core/json.h"
#include "runtime/core/record_writer.h"
#include "runtime/core/text_table.h"
#include "runtime/core/threads.h"
#include "sandbox/base64.h"
#include "sandbox/sandbox.h"

namespace proctor {
namespace {

struct Arguments {
  std::string language, file = "-", input, network;
  std::map<std::string, std::int64_t> limits;  // as in requests: time_ms, ...
  std::vector<std::string> files, get, arguments;
  bool strict = false, batch = false, allow_weak = false;
  std::vector<std::string> require;
  int parallel = 0;
};

// By the file's ending; "" when it tells nothing.
std::string language_of(const std::string& file) {
  const auto language = language_of_ending(std::filesystem::path(file).extension().string());
  return language ? to_string(*language) : "";
}

json::object limits_object(const Arguments& arguments) {
  json::object object;
  for (const auto& [name, value] : arguments.limits) object[name] = value;
  return object;
}

Result<std::unique_ptr<SandboxPool>> open_pool(const Arguments& arguments, std::size_t slots) {
  SandboxConfig config;
  config.slots = slots;
  config.strict = arguments.strict;
  config.require = arguments.require;
  config.allow_weak = arguments.allow_weak;
  return make_sandbox_pool(config);
}

Result<ExecutionRequest> request_of(const Arguments& arguments) {
  if (arguments.file == "-" && arguments.input == "-")
    return bad_input("--stdin -: the program itself is read from stdin; give one of them a file");
  auto code = read_file(arguments.file);
  if (!code) return std::move(code).error();
  const std::string language =
      arguments.language.empty() ? language_of(arguments.file) : arguments.language;
  if (language.empty())
    return bad_input(arguments.file +
                     ": its name tells no language; --lang does: " + language_names());
  json::object object = limits_object(arguments);
  object["lang"] = language;
  if (!arguments.network.empty()) object["network"] = arguments.network;
  // Larger ones fit only where the limits were raised for them.
  std::size_t most_of_a_file = kMostText;
  if (const auto given = arguments.limits.find("disk_bytes"); given != arguments.limits.end())
    most_of_a_file = std::max(most_of_a_file, static_cast<std::size_t>(given->second));
  json::object files;
  for (const auto& file : arguments.files) {
    const auto equals = file.find('=');
    if (equals == std::string::npos) return bad_input("--file '" + file + "': expected NAME=PATH");
    auto bytes = read_file(file.substr(equals + 1), most_of_a_file);
    if (!bytes) return std::move(bytes).error().in("--file");
    const std::string name = file.substr(0, equals);
    if (files.contains(name)) return bad_input("--file: '" + name + "' is given twice");
    files[name] = to_base64(*bytes);
  }
  object["files"] = std::move(files);
  object["code"] = *code;
  auto request = read_execution_request(object);
  if (!request) return request;
  request->get = arguments.get;
  request->arguments = arguments.arguments;
  if (!arguments.input.empty()) {
    auto input = read_file(arguments.input);
    if (!input) return std::move(input).error().in("--stdin");
    request->input = std::move(*input);
  }
  return request;
}

Result<int> run_one(const Arguments& arguments) {
  auto request = request_of(arguments);
  if (!request) return std::move(request).error();
  asio::io_context loop;
  auto pool = open_pool(arguments, 1);
  if (!pool) return std::move(pool).error();
  auto ran = run_to_end(loop, (*pool)->run(std::move(*request)));
  if (!ran) return std::move(ran).error();
  std::cout << json_text(to_json(*ran)) << "\n" << std::flush;
  if (!ran->error.empty()) std::cerr << "proctor: " << harmless(ran->error, true) << "\n";
  return ran->ending == Ending::sandbox_error ? 1 : 0;
}

// Batches ---------------------------------------------------------------------------------------

// A bug in one of them is data as well.
Result<Execution> outcome_of(const std::exception_ptr& thrown, Result<Execution> result) {
  if (!thrown) return result;
  if (is_cancellation(thrown)) return internal_error("called off");
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& bug) {
    return internal_error(bug.what());
  }
}

class Batch {
 public:
  Batch(asio::io_context& loop, SandboxPool& pool, std::size_t parallel)
      : loop_(loop), pool_(pool), free_(parallel) {}
  // An exception may leave it while programs run.
  ~Batch() { join(); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  Status open() {
    return thread_.start(1, [this] { loop_.run(); });
  }

  // Starts the request once one of the `parallel` places is free. Lines are written as they end.
  void start(json::object name, ExecutionRequest request) {
    wait_for_place();
    {
      std::lock_guard lock(mutex_);
      --free_;
    }
    asio::co_spawn(
        loop_, pool_.run(std::move(request)),
        [this, name = std::move(name)](const std::exception_ptr& thrown, Result<Execution> result) {
          write(name, outcome_of(thrown, std::move(result)));
          // Only now, or the record of a line that is refused could come before this one.
          std::lock_guard lock(mutex_);
          ++free_;
          changed_.notify_all();
        });
  }

  // The record of a line that cannot be run, in its turn where one place keeps an order.
  void refuse(json::object name, Error why) {
    wait_for_place();
    write(std::move(name), std::move(why));
  }

  // A line's record, whether it ran or not.
  void write(json::object record, Result<Execution> result) {
    std::lock_guard lock(mutex_);
    Execution execution;
    if (result) {
      execution = std::move(*result);
    } else {
      execution.error = result.error().message;
      execution.isolation = pool_.isolation();
    }
    for (auto& [key, value] : to_json(execution)) record[key] = value;
    any_sandbox_error_ = any_sandbox_error_ || execution.ending == Ending::sandbox_error;
    std::cout << json_text(record) << "\n" << std::flush;
  }

  // Waits for all that was started.
  void join() {
    work_.reset();
    thread_.join();
  }
  bool any_sandbox_error() const { return any_sandbox_error_; }
  // Nobody gets what is written any more.
  bool output_is_gone() {
    std::lock_guard lock(mutex_);
    return !std::cout;
  }

 private:
  // Only the reader of the lines takes places.
  void wait_for_place() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return free_ > 0; });
  }

  asio::io_context& loop_;
  SandboxPool& pool_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{loop_.get_executor()};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t free_;
  bool any_sandbox_error_ = false;
  Threads thread_;
};

constexpr std::int64_t kMostTold = 5;  // lines that cannot be run; each has a record besides

Result<json::object> read_object(std::string_view line) {
  auto value = parse_exact_json(line);
  if (!value) return std::move(value).error();
  if (!value->is_object()) return bad_input("expected an object with lang and code");
  return std::move(value->as_object());
}

Result<ExecutionRequest> read_request(Result<json::object> object, const std::string& language,
                                      const Limits& limits, json::value& id) {
  if (!object) return std::move(object).error();
  if (object->contains("id")) id = object->at("id");
  if (!language.empty() && !object->contains("lang")) (*object)["lang"] = language;
  return read_execution_request(*object, limits);
}

Result<int> run_batch(const Arguments& arguments) {
  auto given = read_limits(limits_object(arguments));
  if (!given) return std::move(given).error();
  const std::string name = arguments.file == "-" ? "stdin" : arguments.file;
  asio::io_context loop;
  auto pool = open_pool(arguments, static_cast<std::size_t>(arguments.parallel));
  if (!pool) return std::move(pool).error();
  Batch batch(loop, **pool, (*pool)->usage().capacity);
  if (auto opened = batch.open(); !opened) return std::move(opened).error();
  bool first = true;
  std::int64_t refused = 0;
  const auto read = read_lines(arguments.file, [&](std::string_view line, std::size_t number) {
    if (batch.output_is_gone()) return Status(Error{ErrorKind::cancelled, ""});
    auto object = read_object(line);
    // A program, say, that was meant to be run: all of its lines would be refused one by one.
    if (std::exchange(first, false) && !object)
      return Status(std::move(object).error().in(
          "a batch has one request a line, {\"lang\", \"code\", ...}"));
    json::value id;
    auto request = read_request(std::move(object), arguments.language, *given, id);
    // Without an id the line's number is all that it can be known by.
    json::object name_of_line =
        id.is_null() ? json::object{{"line", number}} : json::object{{"id", id}};
    if (request) {
      batch.start(std::move(name_of_line), std::move(*request));
    } else {
      const Error why = std::move(request).error().in(name + ":" + std::to_string(number));
      if (++refused <= kMostTold) std::cerr << "proctor: " << harmless(why.message, true) << "\n";
      batch.refuse(std::move(name_of_line), why);
    }
    return Status();
  });
  batch.join();
  if (refused > kMostTold)
    std::cerr << "proctor: " << name << ": " << plural(refused - kMostTold, "more line")
              << " cannot be run; their records say why\n";
  if (!read && read.error().kind != ErrorKind::cancelled) return read.error();
  return batch.any_sandbox_error() ? 1 : 0;
}

}  // namespace

std::function<Result<int>()> set_up_exec(CLI::App& command) {
  auto arguments = std::make_shared<Arguments>();
  command.add_option("FILE", arguments->file, "the program, or the batch; - is stdin");
  command
      .add_option("--lang", arguments->language, language_names() + " (else by the name's ending)")
      ->type_name("LANGUAGE");
  // One value each time, so that the program's name is not taken for one more.
  const auto each = [&command](const char* flag, std::vector<std::string>& values, const char* type,
                               const char* meaning) {
    return command.add_option(flag, values, meaning)->allow_extra_args(false)->type_name(type);
  };
  each("--argument", arguments->arguments, "TEXT", "an argument of the program; again for more");
  command.add_option("--stdin", arguments->input, "what the program reads as its input")
      ->type_name("PATH");
  each("--file", arguments->files, "NAME=PATH", "put this file into the workspace; again for more");
  each("--get", arguments->get, "NAME", "bring this file back in the record; again for more");
  command.add_flag(
      "--batch", arguments->batch,
      "FILE holds requests, {\"lang\", \"code\", ...} a line; one record a line comes out");
  command.add_option("--parallel", arguments->parallel, "programs of a batch at once (one a core)")
      ->type_name("N")
      ->check(CLI::Range(1, 256).description(""));
  const std::array<const char*, 3> limits[] = {
      {"--time-ms", "MS", "processor time, all processes together (10000)"},
      {"--wall-ms", "MS", "time by the clock (20000, or twice --time-ms where that is longer)"},
      {"--memory-bytes", "BYTES", "memory, files in the workspace included (512 MiB)"},
      {"--output-bytes", "BYTES", "stdout and stderr, each (1 MiB)"},
      {"--processes", "N", "processes and threads at once (32)"},
      {"--open-files", "N", "open files of each process (256)"},
      {"--file-bytes", "BYTES", "size of one file (64 MiB)"},
      {"--disk-bytes", "BYTES", "size of the workspace (256 MiB)"},
      {"--inodes", "N", "files in the workspace (16384)"},
      {"--network-bytes", "BYTES", "sent and received over --network (64 MiB)"}};
  for (const auto& [flag, type, meaning] : limits) {
    std::string name = std::string(flag).substr(2);
    std::replace(name.begin(), name.end(), '-', '_');
    auto* option = command.add_option_function<std::int64_t>(
        flag, [arguments, name](const std::int64_t& value) { arguments->limits[name] = value; },
        meaning);
    if (name.ends_with("_bytes")) option->transform(CLI::AsSizeValue(false));
    option->type_name(type)->group("Limits (defaults in brackets)");
  }
  const char* isolation = "Isolation";
  each("--require", arguments->require, "LAYER", "refuse to run without this layer; again for more")
      ->group(isolation);
  command.add_flag("--strict", arguments->strict, "refuse to run without any of the layers")
      ->group(isolation);
  command
      .add_flag("--allow-weak", arguments->allow_weak,
                "run even where nothing but a system call filter can be had")
      ->group(isolation);
  command
      .add_option("--network", arguments->network,
                  "none, which is the default, or allow:HOST[:PORT],...: these hosts, through a "
                  "proxy; without a port 80 and 443")
      ->type_name("none|allow:HOST,...")
      ->group(isolation);
  return [arguments, &command]() -> Result<int> {
    if (!arguments->batch && command.count("--parallel") > 0)
      return bad_input("exec: --parallel is of a batch; --batch is missing");
    for (const char* alien : {"--argument", "--stdin", "--file", "--get", "--network"})
      if (arguments->batch && command.count(alien) > 0)
        return bad_input(std::string("exec: ") + alien +
                         " is of one program; in a batch each line says it (docs/sandbox.md)");
    return arguments->batch ? run_batch(*arguments) : run_one(*arguments);
  };
}

}  // namespace proctor
