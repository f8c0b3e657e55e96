// `proctor doctor`: what is usable on this machine, and what to do about the rest. It changes
// nothing and asks only servers that were named, each for one token.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <optional>

#include "runtime/app/commands.h"
#include "runtime/core/event_loop.h"
#include "runtime/core/paths.h"
#include "runtime/core/record_writer.h"
#include "runtime/core/text.h"
#include "runtime/core/text_table.h"
#include "runtime/model_look.h"
#include "runtime/run_config.h"
#include "sandbox/sandbox.h"

namespace proctor {
namespace {

namespace fs = std::filesystem;

struct Finding {
  std::string subject;
  std::string state;  // ok | missing | note
  std::string detail;
  std::string remedy;
};

void look_at_sandbox(std::vector<Finding>& findings) {
  auto pool = make_sandbox_pool({.slots = 1});
  if (!pool) {
    findings.push_back({"sandbox", "missing", pool.error().message, ""});
    return;
  }
  const Isolation& isolation = (*pool)->isolation();
  findings.push_back({"sandbox", isolation.level == "full" ? "ok" : "note",
                      isolation.level + ": " + joined(isolation.active, " "), ""});
  for (const auto& layer : isolation.missing)
    findings.push_back({"  layer " + layer.layer, "missing", layer.why, layer.remedy});
}

// What guests get, whatever PATH says here.
void look_at_languages(std::vector<Finding>& findings) {
  for (const LanguageInfo& language : languages()) {
    const std::string program = program_of(language.language);
    const std::string needed = language.language == Language::js ? " (only for the js tool)" : "";
    const bool missing = program.empty();
    findings.push_back({"language " + std::string(language.name), missing ? "missing" : "ok",
                        program, missing ? "apt-get install " + (language.package + needed) : ""});
  }
}

void look_at_data(std::vector<Finding>& findings) {
  const std::pair<const char*, const char*> files[] = {
      {"models/smollm2.gguf", "embedded model"},
      {"foldoc/index", "search index of suite qa"},
      {"math/tasks.jsonl", "tasks of suite math"},
      {"venv/bin/python3", "python of the sandbox"}};
  for (const auto& [file, what] : files) {
    const std::string path = data_directory() + "/" + file;
    const bool there = fs::exists(path);
    findings.push_back({what, there ? "ok" : "missing", path, there ? "" : "run scripts/setup"});
  }
}

void look_at_machine(std::vector<Finding>& findings) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  const bool enough = files.rlim_max == RLIM_INFINITY || files.rlim_max >= 65536;
  findings.push_back({"open files", enough ? "ok" : "note",
                      "at most " + std::to_string(files.rlim_max),
                      enough ? "" : "raise it (ulimit -Hn) for thousands of model calls at once"});
  struct statvfs disk{};
  if (::statvfs(".", &disk) == 0) {
    const double free_gib =
        static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize) / (1 << 30);
    findings.push_back({"disk", free_gib > 1 ? "ok" : "note",
                        fmt::format("{:.1f} GiB free here", free_gib),
                        free_gib > 1 ? "" : "make room before a long run"});
  }
  const bool gpu = fs::exists("/dev/nvidia0");
  findings.push_back({"GPU", gpu ? "ok" : "note",
                      gpu ? "/dev/nvidia0" : "none: models run on the CPU or behind a server", ""});
}

constexpr Milliseconds kOneModel = 30s;

Finding finding_of(const std::string& role, const std::string& uri, const Result<ModelLook>& look) {
  Finding finding{"model " + role, "ok", "", ""};
  if (!look) {
    finding.state = "missing";
    finding.detail = look.error().message;
  } else if (!look->refusal.empty()) {
    finding.state = "note";
    finding.detail = uri + ": it is there, but did not want to give one token: " + look->refusal;
    finding.remedy = "settings beside the URI (extra_body) change what it is asked";
  } else {
    finding.detail = uri + ": " + look->text();
  }
  return finding;
}

Result<bool> look_at_models(const std::vector<std::string>& options,
                            std::vector<Finding>& findings) {
  bool all = true;
  asio::io_context loop;
  for (const auto& option : options) {
    auto parsed = parse_model_option(option);
    if (!parsed) return std::move(parsed).error();
    auto model = make_model(parsed->second);
    if (!model && model.error().kind == ErrorKind::bad_input) return std::move(model).error();
    const Result<ModelLook> look =
        model ? run_to_end(loop, look_at(*model, kOneModel)) : Result<ModelLook>(model.error());
    findings.push_back(finding_of(parsed->first, parsed->second.uri, look));
    all = all && look;
    if (model) (*model)->shut_down();
  }
  return all;
}

Result<int> examine(const std::vector<std::string>& models, bool as_json) {
  std::vector<Finding> findings;
  look_at_sandbox(findings);
  look_at_languages(findings);
  look_at_data(findings);
  auto reachable = look_at_models(models, findings);
  if (!reachable) return std::move(reachable).error();
  look_at_machine(findings);
  std::vector<std::vector<std::string>> rows{{"what", "state", "found", "what to do"}};
  for (const auto& finding : findings) {
    if (as_json)
      std::cout << json_text(json::object{{"what", finding.subject},
                                          {"state", finding.state},
                                          {"found", finding.detail},
                                          {"remedy", finding.remedy}})
                << "\n";
    rows.push_back({finding.subject, finding.state, finding.detail, finding.remedy});
  }
  if (!as_json) std::cout << text_table(rows);
  return *reachable ? 0 : 3;
}

}  // namespace

std::function<Result<int>()> set_up_doctor(CLI::App& command) {
  auto models = std::make_shared<std::vector<std::string>>();
  auto as_json = std::make_shared<bool>(false);
  command
      .add_option("--model", *models,
                  "ROLE=URI or ROLE={uri: URI, ...}: also ask this model what it can do (a server "
                  "for one token, too)")
      ->allow_extra_args(false)
      ->take_all();
  command.add_flag("--json", *as_json, "one JSON object a line");
  return [models, as_json] { return examine(*models, *as_json); };
}

}  // namespace proctor
