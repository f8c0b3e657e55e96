// Checks a call's arguments against the tool's JSON schema, in words a policy can mend them by.
//
// Blind spot: of JSON schema it knows type, required, enum, minimum and maximum, one level deep.
#include "tools/tool.h"

#include <algorithm>
#include <optional>

#include "runtime/core/record_writer.h"

namespace proctor {
namespace {

bool has_type(const json::value& value, std::string_view type) {
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_bool();
  if (type == "number") return value.is_number();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "null") return value.is_null();
  if (type != "integer") return true;
  return value.is_int64() || value.is_uint64() ||
         (value.is_double() &&
          value.as_double() == static_cast<double>(static_cast<std::int64_t>(
                                   std::clamp(value.as_double(), -9e15, 9e15))));
}

std::string text_or_empty(const json::object& object, std::string_view key) {
  const json::value* found = object.if_contains(key);
  return found && found->is_string() ? std::string(found->as_string()) : "";
}

// "it takes query (string) and, optionally, k (integer)"
std::string signature(const json::object& properties, const std::vector<std::string>& required) {
  std::string needed, optional;
  for (const auto& [name, schema] : properties) {
    const bool must =
        std::find(required.begin(), required.end(), std::string(name)) != required.end();
    std::string& list = must ? needed : optional;
    if (!list.empty()) list += ", ";
    list += name;
    const std::string type = schema.is_object() ? text_or_empty(schema.as_object(), "type") : "";
    if (!type.empty()) list += " (" + type + ")";
  }
  if (needed.empty() && optional.empty()) return "it takes no arguments";
  if (optional.empty()) return "it takes " + needed;
  if (needed.empty()) return "it takes, all optional, " + optional;
  return "it takes " + needed + " and, optionally, " + optional;
}

// What is wrong with one value, if anything.
std::optional<std::string> wrong_with(const json::value& value, const json::object& schema) {
  const std::string type = text_or_empty(schema, "type");
  if (!type.empty() && !has_type(value, type))
    return "must be of type " + type + ", not " + json_text(value);
  if (const json::value* choices = schema.if_contains("enum"); choices && choices->is_array()) {
    const json::array& list = choices->as_array();
    if (std::find(list.begin(), list.end(), value) == list.end())
      return "must be one of " + json_text(*choices) + ", not " + json_text(value);
  }
  if (!value.is_number()) return std::nullopt;
  const double number = value.to_number<double>();
  const json::value* least = schema.if_contains("minimum");
  const json::value* most = schema.if_contains("maximum");
  if (least && least->is_number() && number < least->to_number<double>())
    return "must be at least " + json_text(*least);
  if (most && most->is_number() && number > most->to_number<double>())
    return "must be at most " + json_text(*most);
  return std::nullopt;
}

}  // namespace

Status check_arguments(const ToolDefinition& definition, const json::object& arguments) {
  json::object properties;
  if (const json::value* found = definition.parameters.if_contains("properties");
      found && found->is_object())
    properties = found->as_object();
  std::vector<std::string> required;
  if (const json::value* found = definition.parameters.if_contains("required");
      found && found->is_array())
    for (const json::value& name : found->as_array())
      if (name.is_string()) required.emplace_back(name.as_string());

  const std::string ending = "; " + signature(properties, required);
  for (const std::string& name : required)
    if (!arguments.contains(name))
      return bad_input(definition.name + ": the argument '" + name + "' is missing" + ending);
  for (const auto& [name, value] : arguments) {
    const json::value* schema = properties.if_contains(name);
    if (!schema)
      return bad_input(definition.name + ": there is no argument '" + std::string(name) + "'" +
                       ending);
    if (!schema->is_object()) continue;
    if (auto wrong = wrong_with(value, schema->as_object()))
      return bad_input(definition.name + ": the argument '" + std::string(name) + "' " + *wrong);
  }
  return {};
}

}  // namespace proctor
