// Makes chat formats by name, and again from what a record says of its policy.
#include "policies/format.h"

namespace proctor {

Result<FormatRef> make_format(const json::value& config) {
  auto use = read_plugin_use(config, "format");
  if (!use) return std::move(use).error();
  const auto& formats = Registry<FormatMaker>::instance();
  const auto* entry = formats.find(use->name);
  if (entry == nullptr) return formats.unknown("format", use->name);
  auto options = Options::parse(use->options, entry->info.options, "format " + use->name);
  if (!options) return std::move(options).error();
  return entry->make(*options);
}

json::value format_config(const Format& format, const json::value& config) {
  auto use = read_plugin_use(config, "format");
  return use && use->name == format.name() ? config : json::value(json::string(format.name()));
}

json::array to_json(const std::vector<ToolDefinition>& tools) {
  json::array list;
  for (const ToolDefinition& tool : tools)
    list.push_back(
        {{"name", tool.name}, {"description", tool.description}, {"parameters", tool.parameters}});
  return list;
}

Result<Rendered> rendered_prompt(const Trajectory& trajectory, std::size_t turns) {
  std::vector<Message> messages = messages_of(trajectory, turns);
  const json::value* config = trajectory.policy->if_contains("format");
  if (!config || config->is_null()) {
    Rendered plain;
    plain.messages = std::move(messages);
    return plain;
  }
  auto format = make_format(*config);
  if (!format) return std::move(format).error().in("policy.format");
  std::vector<ToolDefinition> tools;
  const json::value* list = trajectory.policy->if_contains("tools");
  if (list && list->is_array())
    for (const json::value& entry : list->get_array()) {
      if (!entry.is_object()) return bad_input("policy.tools: expected a list of objects");
      Fields fields(entry.get_object(), "policy.tools");
      tools.push_back({.name = fields.text("name"),
                       .description = fields.text_or("description", ""),
                       .parameters = fields.object_or_empty("parameters")});
      if (!fields.status()) return Error(fields.status().error());
    }
  return (*format)->render(messages, tools);
}

FormatRef format_for(FormatRef format, const Capabilities& model) {
  if (!format->native() || model.native_tools) return format;
  const auto* hermes = Registry<FormatMaker>::instance().find("hermes");
  PROCTOR_CHECK(hermes != nullptr);
  auto made = hermes->make(Options());
  PROCTOR_CHECK(made.ok());
  return *made;
}

}  // namespace proctor
