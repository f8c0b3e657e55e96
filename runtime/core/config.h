// Options from YAML files and flags: declared once, checked once, unknown keys refused with the
// nearest known one. Values travel as JSON.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/json.h"
#include "runtime/core/result.h"

namespace proctor {

// ": did you mean 'X'?" with the nearest of `known`, or ": known are A, B, C" when none is near.
std::string nearest_hint(std::string_view given, const std::vector<std::string>& known);

enum class OptionType { text, integer, number, boolean, choice, list, any };

// One option of a plug-in: command line, config check, `supervisors NAME` and docs come from it.
struct OptionInfo {
  std::string name;
  OptionType type = OptionType::text;
  json::value fallback;               // the default; null: none
  std::string meaning;                // one line
  std::vector<std::string> choices;   // for choice, and for list where only these may occur
  std::optional<double> least, most;  // inclusive range of integer and number
  std::string range;                  // shown to users where least/most do not say it: "(0, 1]"
};

// The checked options of one instance. Getters of names that were not declared are bugs.
class Options {
 public:
  Options() = default;

  // Checks types, ranges and names; text values of numbers and booleans (from a command line) are
  // converted, lists may be "a+b". `where` opens the message: "supervise[0] igpo".
  static Result<Options> parse(const json::object& given, const std::vector<OptionInfo>& declared,
                               const std::string& where);

  bool given(std::string_view name) const;  // by the user, or by a default that is not null
  std::string text(std::string_view name) const;
  std::int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;
  bool boolean(std::string_view name) const;
  std::vector<std::string> list(std::string_view name) const;
  const json::value& any(std::string_view name) const;
  const json::object& values() const { return values_; }

 private:
  json::object values_;
};

// "NAME:key=value,key=value" or "@FILE.yaml" (one mapping {NAME: {options}} or {NAME: null});
// backslash escapes a comma. The reserved options `as` and `suites` are every plug-in's.
struct PluginUse {
  std::string name;
  std::string alias;  // label name of this instance; the name itself unless `as` was given
  std::vector<std::string> suites;  // only tasks of these suites; empty: all (`suites: [qa]`)
  json::object options;
};
Result<PluginUse> parse_plugin_use(const std::string& text);
// The same from a config: "igpo" or {igpo: {gamma: 1}}.
Result<PluginUse> read_plugin_use(const json::value& value, const std::string& where);

// A YAML file, which holds one document, as JSON. Scalars follow YAML 1.2's core schema, but for
// hexadecimal and octal numbers, .inf and .nan, which are text. Errors read "FILE:LINE: ...", or
// "FILE:LINE:COLUMN: ..." where the text is no YAML.
struct YamlFile {
  std::string path;
  json::value root;
  std::map<std::string, int> lines;  // JSON path ("models.policy", "tools[0]") ─▶ line, from 1
  // Of paths that came from elsewhere: "--set limits.turns=0".
  std::map<std::string, std::string> origins = {};

  // "FILE:LINE: what", with the line of the path or of its nearest parent, or "ORIGIN: what".
  Error complain(const std::string& json_path, const std::string& what) const;
  // What lies at and below `json_path` is from `origin` now.
  void replaced(const std::string& json_path, const std::string& origin);
};
Result<YamlFile> read_yaml(const std::string& path);
Result<YamlFile> parse_yaml(const std::string& text, const std::string& name);
std::string to_yaml(const json::value& value);

// Sets "a.b.c=VALUE" (VALUE in YAML) in a config; makes mappings on the way.
Status set_by_path(json::value& root, const std::string& assignment);

}  // namespace proctor
