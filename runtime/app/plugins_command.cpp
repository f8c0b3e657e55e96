// `proctor supervisors` and `proctor tools`: what there is, straight from the registries.
#include <fmt/format.h>

#include <iostream>

#include "runtime/app/commands.h"
#include "runtime/core/record_writer.h"
#include "runtime/core/text.h"
#include "runtime/core/text_table.h"
#include "supervisors/supervisor.h"
#include "tools/tool.h"

namespace proctor {
namespace {

const char* type_name(OptionType type) {
  switch (type) {
    case OptionType::text:
      return "text";
    case OptionType::integer:
      return "integer";
    case OptionType::number:
      return "number";
    case OptionType::boolean:
      return "true or false";
    case OptionType::choice:
      return "choice";
    case OptionType::list:
      return "list";
    case OptionType::any:
      break;
  }
  return "any";
}

std::string number_text(double number) { return fmt::format("{:g}", number); }

// "1 to 10", "a | b": what the option may be.
std::string range_of(const OptionInfo& option) {
  if (!option.range.empty()) return option.range;
  if (!option.choices.empty())
    return joined(option.choices, option.type == OptionType::list ? " + " : " | ");
  const auto bound = [&](double number) {
    return option.type == OptionType::integer ? std::to_string(static_cast<std::int64_t>(number))
                                              : number_text(number);
  };
  if (option.least && option.most) return bound(*option.least) + " to " + bound(*option.most);
  if (option.least) return "at least " + bound(*option.least);
  if (option.most) return "at most " + bound(*option.most);
  return type_name(option.type);
}

std::string default_of(const OptionInfo& option) {
  if (option.fallback.is_null()) return "";
  if (option.fallback.is_double()) return number_text(option.fallback.get_double());
  std::string text = option.fallback.is_string() ? std::string(option.fallback.get_string())
                                                 : json_text(option.fallback);
  for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at))
    text.replace(at, 1, "\\n");
  return text;
}

json::object to_json(const PluginInfo& info) {
  json::object object{{"name", info.name}, {"summary", info.summary}};
  json::array options;
  for (const auto& option : info.options) {
    json::object entry{{"name", option.name},
                       {"type", type_name(option.type)},
                       {"default", option.fallback},
                       {"meaning", option.meaning}};
    entry["choices"] = json::value_from(option.choices);
    entry["least"] = option.least ? json::value(*option.least) : json::value(nullptr);
    entry["most"] = option.most ? json::value(*option.most) : json::value(nullptr);
    entry["range"] = range_of(option);
    options.push_back(std::move(entry));
  }
  object["options"] = std::move(options);
  object["labels"] = json::value_from(info.labels);
  object["roles"] = json::value_from(info.roles);
  return object;
}

void show_one(const PluginInfo& info) {
  std::cout << info.name << ": " << info.summary << "\n";
  if (!info.options.empty()) {
    std::vector<std::vector<std::string>> rows{{"option", "range", "default", "meaning"}};
    std::string long_ones;
    for (const auto& option : info.options) {
      std::string fallback = default_of(option);
      if (fallback.size() > 40) {
        long_ones += "\ndefault of " + option.name + ": " + fallback + "\n";
        fallback = "(below)";
      }
      rows.push_back({option.name, range_of(option), std::move(fallback), option.meaning});
    }
    std::cout << "\n" << text_table(rows) << long_ones;
  }
  if (!info.labels.empty()) std::cout << "\nlabels: " << joined(info.labels, ", ") << "\n";
  if (!info.roles.empty()) std::cout << "models: " << joined(info.roles, ", ") << "\n";
}

template <class Maker>
Result<int> show_plugins(const char* kind, const std::string& name, bool as_json,
                         const std::function<void(const PluginInfo&)>& show_more) {
  const auto& registry = Registry<Maker>::instance();
  if (!name.empty()) {
    const auto* entry = registry.find(name);
    if (!entry) return registry.unknown(kind, name);
    if (as_json) {
      std::cout << json_text(to_json(entry->info)) << "\n";
    } else {
      show_one(entry->info);
      show_more(entry->info);
    }
    return 0;
  }
  if (as_json) {
    for (const auto& each : registry.names())
      std::cout << json_text(to_json(registry.find(each)->info)) << "\n";
    return 0;
  }
  std::vector<std::vector<std::string>> rows{{"name", "what it does", "models"}};
  bool any_models = false;
  for (const auto& each : registry.names()) {
    const PluginInfo& info = registry.find(each)->info;
    rows.push_back({info.name, info.summary, joined(info.roles, ", ")});
    any_models = any_models || !info.roles.empty();
  }
  if (!any_models)
    for (auto& row : rows) row.pop_back();
  std::cout << text_table(rows);
  std::cerr << "\nmore on one of them: proctor " << kind << "s NAME\n";
  return 0;
}

void show_supervisor_example(const PluginInfo& info) {
  std::cout << "\nproctor label trajectories.jsonl --supervise " << info.name;
  for (const auto& role : info.roles)
    std::cout << " --model " << role << "=" << (role == "scorer" ? "llama:smollm2" : "URI");
  std::cout << " --out labelled.jsonl\n";
}

void show_tool_example(const PluginInfo& info) {
  std::cout << "\nin a run configuration:\n  tools: [" << info.name << "]\n";
}

std::function<Result<int>()> set_up(
    CLI::App& command, const char* what,
    const std::function<Result<int>(const std::string& name, bool as_json)>& run) {
  auto name = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  command.add_option("NAME", *name, std::string("one ") + what + ", with its options");
  command.add_flag("--json", *as_json, "one JSON object a line, for machines");
  return [name, as_json, run] { return run(*name, *as_json); };
}

}  // namespace

std::function<Result<int>()> set_up_supervisors(CLI::App& command) {
  return set_up(command, "supervisor", [](const std::string& name, bool as_json) {
    return show_plugins<SupervisorMaker>("supervisor", name, as_json, show_supervisor_example);
  });
}

std::function<Result<int>()> set_up_tools(CLI::App& command) {
  return set_up(command, "tool", [](const std::string& name, bool as_json) {
    return show_plugins<ToolMaker>("tool", name, as_json, show_tool_example);
  });
}

}  // namespace proctor
