// Reads a suite's folder: suite.yaml, the task files and few-shot conversations it names.
//
// Blind spot: whether the tools it names exist is only known to who builds the run.
#include "env/suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>

#include "runtime/core/json_keys.h"
#include "runtime/core/paths.h"
#include "runtime/core/text.h"

namespace proctor {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kSuiteKeys = {"name",   "tasks",  "checker", "tools",
                                             "prompt", "limits", "made_by"};
const std::vector<std::string> kTaskKeys = {"id",   "suite", "prompt",   "messages", "tools",
                                            "gold", "media", "metadata", "checker"};
const std::vector<std::string> kLimitKeys = {"turns",      "tokens",  "tool_calls",
                                             "executions", "wall_ms", "cost"};

fs::path suites_directory() { return fs::path(home_directory()) / "env" / "suites"; }

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// The suite.yaml that a name or a path means.
Result<fs::path> find_suite_file(const std::string& name_or_path) {
  if (name_or_path.empty()) return bad_input("a suite needs a name or a path");
  const fs::path given(name_or_path);
  std::error_code ignored;
  if (name_or_path.find('/') == std::string::npos &&
      is_there(suites_directory() / given / "suite.yaml"))
    return suites_directory() / given / "suite.yaml";
  if (fs::is_directory(given, ignored)) {
    if (is_there(given / "suite.yaml")) return given / "suite.yaml";
    return bad_input("suite " + name_or_path + ": the folder has no suite.yaml");
  }
  if (fs::is_regular_file(given, ignored)) return given;
  return bad_input("no suite '" + name_or_path + "', and no folder of that name with a suite.yaml" +
                   nearest_hint(name_or_path, built_in_suites()));
}

// Where a file named in suite.yaml lies: "data/..." is generated at set-up, the rest is beside it.
fs::path resolve(const fs::path& directory, const std::string& file) {
  if (fs::path(file).is_absolute()) return file;
  if (file.starts_with("data/")) return fs::path(data_directory()) / file.substr(5);
  return directory / file;
}

// One text, or a list of them.
Result<std::vector<std::string>> texts_at(const YamlFile& yaml, const json::value& value,
                                          const std::string& path) {
  std::vector<std::string> texts;
  if (value.is_null()) return texts;
  if (value.is_string()) {
    texts.emplace_back(value.as_string());
    return texts;
  }
  if (!value.is_array()) return yaml.complain(path, path + ": expected a text or a list of texts");
  for (const json::value& entry : value.as_array()) {
    if (!entry.is_string()) return yaml.complain(path, path + ": expected only texts in the list");
    texts.emplace_back(entry.as_string());
  }
  return texts;
}

Status check_keys(const YamlFile& yaml, const json::object& object, const std::string& path,
                  const std::vector<std::string>& known) {
  for (const auto& [key, value] : object) {
    if (std::find(known.begin(), known.end(), std::string(key)) != known.end()) continue;
    const std::string where = path.empty() ? std::string(key) : path + "." + std::string(key);
    return yaml.complain(where, "unknown key '" + where + "'" + nearest_hint(key, known));
  }
  return {};
}

const json::value& at_or_null(const json::object& object, std::string_view key) {
  static const json::value kNothing;
  const json::value* found = object.if_contains(key);
  return found ? *found : kNothing;
}

// ": did you mean 'KEY'?" for a key of a task that is not known but near to one that is; "" else.
std::string slip_for(const std::string& key) {
  if (std::find(kTaskKeys.begin(), kTaskKeys.end(), key) != kTaskKeys.end() || key.size() < 4)
    return "";
  const std::string hint = nearest_hint(key, kTaskKeys);
  return hint.starts_with(": did you mean") ? hint : "";
}

// What a prompt may hold; records take any role, since they may come from elsewhere.
Status check_role(const Message& message) {
  static const std::vector<std::string> kRoles = {"system", "user", "assistant", "tool"};
  if (std::find(kRoles.begin(), kRoles.end(), message.role) != kRoles.end()) return {};
  return bad_input("unknown role '" + message.role + "'" + nearest_hint(message.role, kRoles));
}

// Nothing but blanks; content that is no text may say something.
bool says_nothing(const Message& message) {
  return !message.content.is_array() && trimmed(message.text()).empty();
}

// What read_task lets pass, since it reads records too: here it is a slip.
Status check_task(const Task& task) {
  if (task.prompt && trimmed(*task.prompt).empty())
    return bad_input("prompt: is empty; expected what the policy is asked");
  if (!task.messages) return {};
  if (task.prompt) return bad_input("a task is asked by `prompt` or by `messages`, not by both");
  for (std::size_t i = 0; i < task.messages->size(); ++i)
    if (auto known = check_role((*task.messages)[i]); !known)
      return std::move(known).error().in("messages[" + std::to_string(i) + "]");
  if (std::all_of(task.messages->begin(), task.messages->end(), says_nothing))
    return bad_input("messages: all are empty; expected what the policy is asked");
  return {};
}

Result<Task> read_task_line(std::string_view text) {
  auto value = parse_exact_json(text);
  if (!value) return std::move(value).error();
  if (const auto key = repeated_key(text))
    return bad_input("the key '" + *key + "' stands twice in one object");
  auto task = read_task(*value);
  if (!task) return task;
  if (auto checked = check_task(*task); !checked) return std::move(checked).error();
  return task;
}

Result<std::vector<Message>> read_few_shot(const fs::path& path) {
  std::vector<Message> messages;
  auto read = read_jsonl(path.string(), [&](const json::value& value, std::size_t) -> Status {
    auto message = read_message(value, "");
    if (!message) return std::move(message).error();
    if (message->role == "system") return bad_input("role: a system message goes in suite.yaml");
    if (auto known = check_role(*message); !known) return known;
    messages.push_back(std::move(*message));
    return {};
  });
  if (!read) return std::move(read).error();
  return messages;
}

Status read_prompt(const YamlFile& yaml, const json::value& value, Suite& suite) {
  if (value.is_null()) return {};
  if (!value.is_object())
    return yaml.complain("prompt", "prompt: expected a mapping with system and few_shot");
  const json::object& prompt = value.as_object();
  if (auto known = check_keys(yaml, prompt, "prompt", {"system", "few_shot"}); !known) return known;

  const json::value& system = at_or_null(prompt, "system");
  if (system.is_string())
    suite.prompt.push_back({.role = "system", .content = system});
  else if (!system.is_null())
    return yaml.complain("prompt.system", "prompt.system: expected a text");

  auto files = texts_at(yaml, at_or_null(prompt, "few_shot"), "prompt.few_shot");
  if (!files) return std::move(files).error();
  for (const std::string& file : *files) {
    const fs::path path = resolve(suite.directory, file);
    if (!is_there(path))
      return yaml.complain("prompt.few_shot", "prompt.few_shot: there is no file " + path.string());
    auto messages = read_few_shot(path);
    if (!messages) return std::move(messages).error();
    std::move(messages->begin(), messages->end(), std::back_inserter(suite.prompt));
  }
  return {};
}

Status read_limits_of(const YamlFile& yaml, const json::value& value, Suite& suite) {
  if (value.is_null()) return {};
  if (!value.is_object()) return yaml.complain("limits", "limits: expected a mapping");
  if (auto known = check_keys(yaml, value.as_object(), "limits", kLimitKeys); !known) return known;
  for (const auto& [key, limit] : value.as_object()) {
    const bool fits = limit.is_null() || (limit.is_number() && limit.to_number<double>() > 0);
    const std::string where = "limits." + std::string(key);
    if (!fits) return yaml.complain(where, where + ": expected a number above 0");
  }
  suite.limits = value.as_object();
  return {};
}

Status read_suite_tasks(const YamlFile& yaml, const json::object& root, Suite& suite) {
  auto files = texts_at(yaml, at_or_null(root, "tasks"), "tasks");
  if (!files) return std::move(files).error();
  if (files->empty()) return yaml.complain("tasks", "tasks: name at least one file of tasks");
  const json::value& made_by = at_or_null(root, "made_by");
  const std::string command =
      made_by.is_string() ? std::string(made_by.as_string()) : "scripts/setup";

  std::set<std::string> ids;
  for (const std::string& file : *files) {
    const fs::path path = resolve(suite.directory, file);
    if (!is_there(path)) {
      if (file.starts_with("data/"))
        return missing("suite " + suite.name + ": " + path.string() +
                       " is not there yet: make it with " + command);
      return yaml.complain("tasks", "tasks: there is no file " + path.string());
    }
    auto tasks = read_tasks(path.string(), &suite.places);
    if (!tasks) return std::move(tasks).error();
    for (const TaskRef& task : *tasks) {
      if (!ids.insert(task->id).second)
        return bad_input(suite.places.at(task->id) + ": the id '" + task->id +
                         "' is in another file of the suite too");
      Task mine = *task;
      mine.suite = suite.name;
      if (!mine.tools && root.contains("tools")) mine.tools = suite.tools;
      suite.tasks.push_back(std::make_shared<const Task>(std::move(mine)));
    }
  }
  return {};
}

}  // namespace

Result<Suite> load_suite(const std::string& name_or_path) {
  auto file = find_suite_file(name_or_path);
  if (!file) return std::move(file).error();
  auto yaml = read_yaml(file->string());
  if (!yaml) return std::move(yaml).error();
  if (!yaml->root.is_object())
    return yaml->complain("",
                          "expected a mapping with name, tasks, checker, tools, prompt, limits");
  const json::object& root = yaml->root.as_object();
  if (auto known = check_keys(*yaml, root, "", kSuiteKeys); !known) return std::move(known).error();

  Suite suite;
  suite.directory = file->parent_path().empty() ? "." : file->parent_path().string();
  const json::value& name = at_or_null(root, "name");
  if (!name.is_string() || name.as_string().empty())
    return yaml->complain("name", "name: expected a text");
  suite.name = std::string(name.as_string());
  auto checker = read_checker_use(at_or_null(root, "checker"));
  if (!checker) return yaml->complain("checker", checker.error().message);
  suite.checker = std::move(*checker);
  auto tools = texts_at(*yaml, at_or_null(root, "tools"), "tools");
  if (!tools) return std::move(tools).error();
  suite.tools = std::move(*tools);
  if (auto read = read_limits_of(*yaml, at_or_null(root, "limits"), suite); !read)
    return std::move(read).error();
  if (auto read = read_prompt(*yaml, at_or_null(root, "prompt"), suite); !read)
    return std::move(read).error();
  if (auto read = read_suite_tasks(*yaml, root, suite); !read) return std::move(read).error();
  return suite;
}

std::vector<std::string> built_in_suites() {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(suites_directory(), ignored))
    if (is_there(entry.path() / "suite.yaml")) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

Result<PluginUse> read_checker_use(const json::value& value) {
  auto use = read_plugin_use(value, "checker");
  if (!use) return std::move(use).error();
  const auto& registry = Registry<CheckerMaker>::instance();
  const auto* entry = registry.find(use->name);
  if (!entry) return registry.unknown("checker", use->name);
  auto options = Options::parse(use->options, entry->info.options, "checker " + use->name);
  if (!options) return std::move(options).error();
  return use;
}

Result<CheckerRef> make_checker(const PluginUse& use, const CheckerServices& services) {
  const auto* entry = Registry<CheckerMaker>::instance().find(use.name);
  PROCTOR_CHECK(entry);
  auto options = Options::parse(use.options, entry->info.options, "checker " + use.name);
  if (!options) return std::move(options).error();
  auto checker = entry->make(*options, services);
  if (!checker) return std::move(checker).error().in("checker " + use.name);
  return checker;
}

const json::value& checker_of(const Task& task) { return at_or_null(task.extra, "checker"); }

Error lacks_gold(const Task& task, const std::vector<std::string>& keys) {
  const std::string needs = "needs gold." + keys.front();
  if (task.gold.empty()) return bad_input(needs + ", and the task has no gold");
  for (const auto& pair : task.gold) {
    const std::string hint = nearest_hint(pair.key(), keys);
    const bool slip = std::find(keys.begin(), keys.end(), pair.key()) == keys.end() &&
                      hint.starts_with(": did you mean");
    if (slip)
      return bad_input(
          fmt::format("{}; gold has '{}'{}", needs, std::string_view(pair.key()), hint));
  }
  return bad_input(needs + ", which is missing or empty");
}

Result<std::vector<TaskRef>> read_tasks(const std::string& path, TaskPlaces* places) {
  std::vector<TaskRef> tasks;
  std::set<std::string> remarked;
  const std::string shown = path == "-" ? "stdin" : path;
  std::map<std::string, std::size_t> first_lines;
  auto read = read_lines(path, [&](std::string_view text, std::size_t line) -> Status {
    auto task = read_task_line(text);
    if (!task) return std::move(task).error();
    auto [first, fresh] = first_lines.emplace(task->id, line);
    if (!fresh)
      return bad_input("the id '" + task->id + "' was used on line " +
                       std::to_string(first->second) + " already; ids must be unique");
    if (const json::value& checker = checker_of(*task); !checker.is_null())
      if (auto use = read_checker_use(checker); !use) return std::move(use).error();
    const std::string place = shown + ":" + std::to_string(line);
    for (const auto& pair : task->extra) {
      const std::string key = pair.key();
      if (const std::string slip = slip_for(key); !slip.empty() && remarked.insert(key).second)
        std::cerr << "proctor: " << place << ": the key '" << key << "' means nothing here" << slip
                  << "\n";
    }
    if (places) places->insert_or_assign(task->id, place);
    tasks.push_back(std::make_shared<const Task>(std::move(*task)));
    return {};
  });
  if (!read) return std::move(read).error();
  if (tasks.empty()) return bad_input(path + ": there is no task in this file");
  return tasks;
}

}  // namespace proctor
