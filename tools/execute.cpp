// python, bash, c, cpp, js: run a program in the sandbox; what it writes is what the policy sees.
//
// With `sessions: true`, python keeps a live interpreter for each rollout (and each name in a
// call's `session`), and shows the value of a last expression. Blind spot: a session that had to be
// ended is gone with all it knew; its last answer says so, and the next call starts a new one.
#include <fmt/format.h>

#include "sandbox/sandbox.h"
#include "tools/tool.h"

namespace proctor {
namespace {

constexpr std::size_t kMostSessions = 8;  // of one rollout
constexpr std::array kLimitNames = {"time_ms",   "wall_ms",      "memory_bytes", "output_bytes",
                                    "processes", "open_files",   "file_bytes",   "disk_bytes",
                                    "inodes",    "network_bytes"};

// At most `most` bytes, whole characters, the middle left out: errors stand at the end.
std::string shortened(const std::string& text, std::size_t most) {
  if (text.size() <= most) return text;
  const auto begins_character = [&](std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
  };
  std::size_t head = most * 2 / 3, tail = text.size() - (most - most * 2 / 3);
  while (head > 0 && !begins_character(head)) --head;
  while (tail < text.size() && !begins_character(tail)) ++tail;
  return text.substr(0, head) + fmt::format("\n[... {} bytes left out ...]\n", tail - head) +
         text.substr(tail);
}

// Why it ended, for the policy to read; empty after an orderly end.
std::string reason(const Execution& execution, const Limits& limits) {
  const auto mib = [](Bytes bytes) { return count(bytes) / (1 << 20); };
  switch (execution.ending) {
    case Ending::ok:
      return "";
    case Ending::nonzero_exit:
      return execution.exit_code == 1
                 ? ""
                 : fmt::format("[exit code {}]", execution.exit_code.value_or(-1));
    case Ending::signaled:
      return fmt::format("[ended by signal {}]", execution.signal.value_or(0));
    case Ending::time_limit:
      return fmt::format("[stopped at the limit of {} ms of processor time]", limits.cpu.count());
    case Ending::wall_limit:
      return fmt::format("[stopped after {} ms]", limits.wall.count());
    case Ending::memory_limit:
      return fmt::format("[stopped at the memory limit of {} MiB]", mib(limits.memory));
    case Ending::output_limit:
      return fmt::format("[stopped: more than {} bytes of output]", count(limits.output));
    case Ending::process_limit:
      return fmt::format("[more than {} processes and threads were refused]", limits.processes);
    case Ending::file_limit:
      return "[a file or the workspace reached its size limit]";
    case Ending::denied:
      return "[a system call was denied]";
    case Ending::compile_error:
      return "[it does not compile]";
    case Ending::sandbox_error:
      break;  // is no observation
  }
  return "";
}

ObservationStatus status_of(Ending ending) {
  switch (ending) {
    case Ending::ok:
      return ObservationStatus::ok;
    case Ending::time_limit:
    case Ending::wall_limit:
      return ObservationStatus::timeout;
    case Ending::denied:
      return ObservationStatus::denied;
    default:
      return ObservationStatus::error;
  }
}

// What the policy sees of it. That our sandbox failed is nothing for it to see.
Result<Observation> observe(const Execution& execution, const Limits& limits,
                            std::size_t max_bytes) {
  if (execution.ending == Ending::sandbox_error)
    return internal_error("the sandbox failed: " + execution.error);
  Observation observation;
  observation.status = status_of(execution.ending);
  observation.data = to_json(execution);
  observation.usage = {execution.usage.wall_ms, execution.usage.cpu_ms,
                       execution.usage.peak_memory_bytes};
  // The record's texts: valid UTF-8 already.
  std::string content(observation.data.at("stdout").as_string());
  const std::string errors(observation.data.at("stderr").as_string());
  const auto add = [&](const std::string& part) {
    if (part.empty()) return;
    if (!content.empty() && content.back() != '\n') content += '\n';
    content += part;
  };
  add(errors);
  while (!content.empty() && content.back() == '\n') content.pop_back();
  content = shortened(content, max_bytes);
  add(reason(execution, limits));
  observation.content = content.empty() ? "(no output)" : content;
  return observation;
}

bool has_sessions(Language language) {
  return language == Language::python || language == Language::bash;
}

class Execute final : public Tool {
 public:
  Execute(Language language, const Limits& limits, const Options& options, SandboxPool& pool)
      : language_(language),
        limits_(limits),
        max_bytes_(static_cast<std::size_t>(options.integer("max_bytes"))),
        network_(options.text("network")),
        sessions_(has_sessions(language) && options.boolean("sessions")),
        pool_(pool) {}

  ToolDefinition definition() const override {
    json::object properties{{"code", {{"type", "string"}, {"description", "the whole program"}}}};
    std::string description =
        fmt::format("Runs a {} program and returns what it prints.", info_of(language_).title);
    if (sessions_) {
      description = fmt::format(
          "Runs {} code in a live interpreter that remembers earlier calls, and returns what it "
          "prints{}.",
          info_of(language_).title,
          language_ == Language::python ? " and the value of the last expression" : "");
      properties["code"].as_object()["description"] = "the code to run next";
      properties["session"] = {{"type", "string"},
                               {"description", "name of the interpreter, when there are several"}};
    }
    if (side_effects()) {
      const std::string hosts = network_.substr(network_.find(':') + 1);
      description += fmt::format(" It can reach {} over the network, through a proxy.", hosts);
    }
    return {.name = to_string(language_),
            .description = description,
            .parameters = {{"type", "object"},
                           {"properties", std::move(properties)},
                           {"required", json::array{"code"}}}};
  }
  bool stateful() const override { return sessions_; }
  // Of the hosts it may reach.
  bool side_effects() const override { return !limits_.network.empty(); }
  bool executes() const override { return true; }
  Limiter::Usage usage() const override { return pool_.usage(); }

  Async<Result<Observation>> call(ToolCall call, std::shared_ptr<ToolContext> context) override {
    if (auto checked = check_arguments(definition(), call.arguments); !checked) {
      Observation refused;
      refused.status = ObservationStatus::error;
      refused.content = checked.error().message;
      co_return refused;
    }
    std::string code(call.arguments.at("code").as_string());
    if (sessions_) {
      const json::value* name = call.arguments.if_contains("session");
      auto work = run_cell(std::move(code), name ? std::string(name->as_string()) : "main",
                           std::move(context));
      co_return co_await std::move(work);
    }
    ExecutionRequest request;
    request.language = language_;
    request.code = std::move(code);
    request.limits = limits_;
    request.started = context->started;
    auto ran = co_await pool_.run(std::move(request));
    if (!ran) co_return std::move(ran).error().in(to_string(language_));
    auto observation = observe(*ran, limits_, max_bytes_);
    if (!observation) co_return std::move(observation).error().in(to_string(language_));
    co_return observation;
  }

 private:
  using Sessions = std::map<std::string, std::shared_ptr<SandboxSession>>;

  Async<Result<Observation>> run_cell(std::string code, std::string name,
                                      std::shared_ptr<ToolContext> context) {
    std::any& state = (*context->state)[to_string(language_)];
    if (!state.has_value()) state = std::make_shared<Sessions>();
    const auto sessions = std::any_cast<std::shared_ptr<Sessions>>(state);
    std::shared_ptr<SandboxSession> session;
    if (auto found = sessions->find(name); found != sessions->end()) session = found->second;
    const bool lost = session && !session->alive();
    if (!session || lost) {
      if (!lost && sessions->size() >= kMostSessions) {
        Observation refused;
        refused.status = ObservationStatus::error;
        refused.content =
            fmt::format("there are {} sessions already; use one of them", sessions->size());
        co_return refused;
      }
      auto opened = co_await pool_.open_session(language_, limits_);
      if (!opened)
        co_return std::move(opened).error().in(std::string(to_string(language_)) + " session");
      session = *opened;
      (*sessions)[name] = session;
    }
    auto ran = co_await session->run(std::move(code), limits_, context->started);
    if (!ran) co_return std::move(ran).error().in(std::string(to_string(language_)) + " session");
    auto observation = observe(*ran, limits_, max_bytes_);
    if (!observation)
      co_return std::move(observation).error().in(std::string(to_string(language_)) + " session");
    if (lost)
      observation->content =
          "[the interpreter had ended; this is a new one]\n" + observation->content;
    else if (!session->alive())
      observation->content += "\n[the interpreter has ended; its variables are gone]";
    co_return observation;
  }

  const Language language_;
  const Limits limits_;
  const std::size_t max_bytes_;
  const std::string network_;
  const bool sessions_;
  SandboxPool& pool_;
};

std::vector<OptionInfo> options_of(Language language) {
  std::vector<OptionInfo> options;
  static constexpr std::array kMeanings = {"processor time of the whole process tree",
                                           "time by the clock",
                                           "memory of the whole tree, its files included",
                                           "stdout and stderr, each",
                                           "processes and threads at once",
                                           "open files of each process",
                                           "size of one file",
                                           "size of the workspace",
                                           "files in the workspace",
                                           "sent and received over the network"};
  for (std::size_t i = 0; i < kLimitNames.size(); ++i) {
    OptionInfo option{.name = kLimitNames[i], .type = OptionType::integer, .fallback = nullptr};
    option.meaning = kMeanings[i];
    const auto [least, most] = limit_range(kLimitNames[i]);
    option.least = static_cast<double>(least), option.most = static_cast<double>(most);
    options.push_back(option);
  }
  OptionInfo network{.name = "network", .type = OptionType::text, .fallback = "none"};
  network.meaning = "none, or allow:HOST[:PORT],...: the hosts it may reach";
  options.push_back(network);
  OptionInfo max_bytes{.name = "max_bytes", .type = OptionType::integer, .fallback = 8000};
  max_bytes.meaning = "of output shown to the policy; the middle is left out beyond";
  max_bytes.least = 100, max_bytes.most = 1e7;
  options.push_back(max_bytes);
  if (has_sessions(language)) {
    OptionInfo sessions{.name = "sessions", .type = OptionType::boolean, .fallback = false};
    sessions.meaning = "keep a live interpreter across the calls of a rollout";
    options.push_back(sessions);
  }
  return options;
}

Result<ToolRef> make(Language language, const Options& options, const ToolServices& services) {
  if (!services.sandbox)
    return missing(std::string(to_string(language)) + ": no sandbox is there to run programs in");
  json::object given;
  for (const char* name : kLimitNames)
    if (options.given(name)) given[name] = options.integer(name);
  given["network"] = options.text("network");
  auto limits = read_limits(given);
  if (!limits) return std::move(limits).error();
  return ToolRef(std::make_shared<Execute>(language, *limits, options, *services.sandbox));
}

const bool registered = [] {
  for (const LanguageInfo& each : languages()) {
    const Language language = each.language;
    const std::string name = each.name;
    Registry<ToolMaker>::instance().add(
        {.name = name,
         .summary = "runs a " + name + " program in the sandbox",
         .options = options_of(language)},
        [language](const Options& options, const ToolServices& services) {
          return make(language, options, services);
        });
  }
  return true;
}();

}  // namespace
}  // namespace proctor
