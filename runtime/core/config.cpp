// Options and YAML. Blind spot: anchors and merge keys of YAML are resolved by yaml-cpp before we
// see them, so a complaint inside an alias names the anchor's line.
#include "runtime/core/config.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "runtime/core/text.h"
#include "runtime/core/unicode.h"
#include "runtime/core/yaml_fault.h"

namespace proctor {
namespace {

// Edits (insert, delete, replace, swap neighbours) between two names.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i)
    for (std::size_t j = 1; j <= b.size(); ++j) {
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1,
                             cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  return cost[a.size()][b.size()];
}

// A scalar of YAML 1.2's core schema as JSON. Hexadecimal and octal numbers, infinities and NaN
// stay text: no option that wants a number takes them.
json::value scalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
    return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const char* first = text.data() + (text[0] == '+' && !text.starts_with("+-") ? 1 : 0);
  const char* last = text.data() + text.size();
  std::int64_t integer = 0;
  if (auto [end, code] = std::from_chars(first, last, integer); code == std::errc() && end == last)
    return integer;
  std::uint64_t large = 0;
  if (auto [end, code] = std::from_chars(first, last, large); code == std::errc() && end == last)
    return large;
  const bool numeric = text.find_first_not_of("+-.0123456789eE") == std::string::npos &&
                       text.find_first_of("0123456789") != std::string::npos;
  double number = 0;
  if (numeric)
    if (auto [end, code] = std::from_chars(first, last, number);
        code == std::errc() && end == last && std::isfinite(number))
      return number;
  return json::string(text);
}

// Anchors let a few lines stand for lists without end, or for more values than fit into memory.
constexpr std::size_t kMostValues = 100'000;

// Ours, beside yaml-cpp's.
class Complaint : public YAML::Exception {
 public:
  using YAML::Exception::Exception;
};

json::value convert(const YAML::Node& node, const std::string& path,
                    std::map<std::string, int>& lines, std::size_t level = 0) {
  if (level > kForeignLevels)
    throw Complaint(node.Mark(),
                    fmt::format("lists and mappings lie too deep in each other; at most {} levels",
                                kForeignLevels));
  if (lines.size() >= kMostValues)
    throw Complaint(node.Mark(),
                    fmt::format("too many values, aliases counted; at most {}", kMostValues));
  lines[path] = node.Mark().line + 1;
  if (node.IsMap()) {
    json::object object;
    for (const auto& pair : node) {
      const std::string key = pair.first.as<std::string>();
      const std::string below = path.empty() ? key : path + "." + key;
      if (object.contains(key))
        throw Complaint(pair.first.Mark(), "the key '" + key + "' stands twice");
      object[key] = convert(pair.second, below, lines, level + 1);
      lines[below] = pair.first.Mark().line + 1;
    }
    return object;
  }
  if (node.IsSequence()) {
    json::array array;
    for (std::size_t i = 0; i < node.size(); ++i)
      array.push_back(convert(node[i], path + "[" + std::to_string(i) + "]", lines, level + 1));
    return array;
  }
  if (!node.IsScalar()) return nullptr;
  if (node.Tag() == "!") return json::string(node.Scalar());  // quoted
  const std::string& text = node.Scalar();
  json::value value = scalar(text);
  if (value.is_double() && text.find_first_of(".eE") == std::string::npos)
    throw Complaint(node.Mark(), beyond_64_bits(text));
  return value;
}

// Fills `file`, but for its path.
std::optional<YamlFault> read_text(const std::string& text, YamlFile& file) {
  if (auto fault = fault_of_bytes(text)) return fault;
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(closed_yaml(text));
    if (documents.size() > 1)
      throw Complaint(documents[1].Mark(),
                      "a second document begins here (---, or what fits nothing above); expected "
                      "one in a file");
    file.root = convert(documents.empty() ? YAML::Node() : documents.front(), "", file.lines);
  } catch (const Complaint& ours) {
    return YamlFault{std::to_string(ours.mark.line + 1), ours.msg};
  } catch (const YAML::Exception& error) {
    return fault_of(error, text);
  }
  return std::nullopt;
}

void emit(YAML::Emitter& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::object:
      out << YAML::BeginMap;
      for (const auto& pair : value.get_object()) {
        out << YAML::Key << std::string(pair.key()) << YAML::Value;
        emit(out, pair.value());
      }
      out << YAML::EndMap;
      break;
    case json::kind::array:
      out << YAML::BeginSeq;
      for (const auto& item : value.get_array()) emit(out, item);
      out << YAML::EndSeq;
      break;
    case json::kind::string: {
      const std::string text(value.get_string());
      // Text that would read as a number, boolean or null is quoted, so that it stays text.
      if (scalar(text).is_string())
        out << text;
      else
        out << YAML::DoubleQuoted << text;
      break;
    }
    case json::kind::null:
      out << YAML::Null;
      break;
    default:
      out << json::serialize(value);
  }
}

const char* type_name(OptionType type) {
  switch (type) {
    case OptionType::text:
      return "a text";
    case OptionType::integer:
      return "an integer";
    case OptionType::number:
      return "a number";
    case OptionType::boolean:
      return "true or false";
    case OptionType::choice:
      return "a choice";
    case OptionType::list:
      return "a list";
    case OptionType::any:
      break;
  }
  return "a value";
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find(separator, start), text.size());
    parts.emplace_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

// What is wrong with a text in the value: a command line may hold any bytes.
std::optional<std::string> no_utf8_in(const json::value& value) {
  if (value.is_string() && !is_utf8(value.get_string())) return why_no_utf8(value.get_string());
  if (const auto* items = value.if_array())
    for (const auto& item : *items)
      if (auto why = no_utf8_in(item)) return why;
  return std::nullopt;
}

// The value in the option's type, or nothing when it does not fit.
std::optional<json::value> fitted(const json::value& given, const OptionInfo& option) {
  json::value value = given;
  const bool wants_scalar = option.type == OptionType::integer ||
                            option.type == OptionType::number || option.type == OptionType::boolean;
  if (wants_scalar && given.is_string()) value = scalar(std::string(given.get_string()));
  switch (option.type) {
    case OptionType::integer:
      if (value.is_double() && std::nearbyint(value.get_double()) == value.get_double() &&
          std::abs(value.get_double()) < 9e15)
        value = static_cast<std::int64_t>(value.get_double());
      if (!value.is_int64()) return std::nullopt;
      break;
    case OptionType::number:
      if (!value.is_number()) return std::nullopt;
      value = value.to_number<double>();
      break;
    case OptionType::boolean:
      if (!value.is_bool()) return std::nullopt;
      break;
    case OptionType::text:
    case OptionType::choice:
      // A YAML scalar such as 8 or true may be meant as text.
      if (value.is_number() || value.is_bool()) value = json::string(readable_json(value));
      if (!value.is_string()) return std::nullopt;
      break;
    case OptionType::list: {
      json::array items;
      if (value.is_array()) {
        for (const auto& item : value.get_array())
          items.push_back(item.is_string() ? item : json::string(readable_json(item)));
      } else if (value.is_string()) {
        if (!value.get_string().empty())
          for (auto& part : split(value.get_string(), '+')) items.push_back(json::string(part));
      } else {
        items.push_back(json::string(readable_json(value)));
      }
      value = std::move(items);
      break;
    }
    case OptionType::any:
      break;
  }
  return value;
}

Status check_choices(const json::value& value, const OptionInfo& option, const std::string& at) {
  if (option.choices.empty()) return {};
  const auto check = [&](const json::value& word) -> Status {
    const std::string text(word.get_string());
    if (std::find(option.choices.begin(), option.choices.end(), text) != option.choices.end())
      return {};
    return bad_input(at + ": '" + text + "' is not one of " + joined(option.choices, ", "));
  };
  if (option.type == OptionType::choice) return check(value);
  if (option.type == OptionType::list)
    for (const auto& item : value.get_array())
      if (auto status = check(item); !status) return status;
  return {};
}

}  // namespace

std::string nearest_hint(std::string_view given, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = given.empty() ? 0 : std::max<std::size_t>(2, given.size() / 3) + 1;
  for (const auto& name : known) {
    const std::size_t distance = edit_distance(given, name);
    if (distance < best_distance) {
      best = name;
      best_distance = distance;
    }
  }
  if (!best.empty()) return ": did you mean '" + best + "'?";
  if (known.empty()) return ": there are none";
  return ": known are " + joined(known, ", ");
}

Result<Options> Options::parse(const json::object& given, const std::vector<OptionInfo>& declared,
                               const std::string& where) {
  Options options;
  std::vector<std::string> names;
  for (const auto& option : declared) {
    names.push_back(option.name);
    options.values_[option.name] = option.fallback;
  }
  for (const auto& pair : given) {
    const auto option = std::find_if(declared.begin(), declared.end(),
                                     [&](const auto& known) { return known.name == pair.key(); });
    if (option == declared.end())
      return bad_input(where + ": unknown option '" + std::string(pair.key()) + "'" +
                       nearest_hint(pair.key(), names));
    const std::string at = where + ": " + option->name;
    if (pair.value().is_null()) continue;  // null asks for the default
    if (const auto why = no_utf8_in(pair.value())) return bad_input(at + ": " + *why);
    auto value = fitted(pair.value(), *option);
    if (!value)
      return bad_input(at + ": expected " + type_name(option->type) + ", got " +
                       readable_json(pair.value()));
    if (value->is_number()) {
      // A double would round a large integer to the bound itself.
      const long double number = value->is_int64()
                                     ? static_cast<long double>(value->get_int64())
                                     : static_cast<long double>(value->to_number<double>());
      if ((option->least && number < *option->least) || (option->most && number > *option->most)) {
        std::string range = option->range;
        if (range.empty() && option->least && option->most)
          range = fmt::format("from {} to {}", *option->least, *option->most);
        if (range.empty() && option->least) range = fmt::format("at least {}", *option->least);
        if (range.empty()) range = fmt::format("at most {}", *option->most);
        return bad_input(
            fmt::format("{}: {} is out of range; expected {}", at, readable_json(*value), range));
      }
    }
    if (auto status = check_choices(*value, *option, at); !status) return status.error();
    options.values_[option->name] = std::move(*value);
  }
  return options;
}

bool Options::given(std::string_view name) const {
  const auto* value = values_.if_contains(name);
  return value && !value->is_null();
}

const json::value& Options::any(std::string_view name) const {
  const auto* value = values_.if_contains(name);
  PROCTOR_CHECK(value != nullptr);
  return *value;
}

std::string Options::text(std::string_view name) const {
  const auto& value = any(name);
  return value.is_string() ? std::string(value.get_string()) : std::string();
}

std::int64_t Options::integer(std::string_view name) const {
  const auto& value = any(name);
  return value.is_number() ? value.to_number<std::int64_t>() : 0;
}

double Options::number(std::string_view name) const {
  const auto& value = any(name);
  return value.is_number() ? value.to_number<double>() : 0.0;
}

bool Options::boolean(std::string_view name) const {
  const auto& value = any(name);
  return value.is_bool() && value.get_bool();
}

std::vector<std::string> Options::list(std::string_view name) const {
  std::vector<std::string> items;
  const auto& value = any(name);
  if (const auto* array = value.if_array())
    for (const auto& item : *array) items.emplace_back(item.get_string());
  return items;
}

Result<PluginUse> read_plugin_use(const json::value& value, const std::string& where) {
  PluginUse use;
  if (value.is_string()) {
    use.name = std::string(value.get_string());
  } else if (value.is_object() && value.get_object().size() == 1) {
    const auto& pair = *value.get_object().begin();
    use.name = std::string(pair.key());
    if (pair.value().is_object())
      use.options = pair.value().get_object();
    else if (!pair.value().is_null())
      return bad_input(where + " " + use.name + ": expected a mapping of options");
  } else {
    return bad_input(where + ": expected a name, or a mapping {name: {options}}");
  }
  use.alias = use.name;
  if (auto* as = use.options.if_contains("as")) {
    if (!as->is_string() || as->get_string().empty())
      return bad_input(where + " " + use.name + ": as: expected a name");
    use.alias = std::string(as->get_string());
    use.options.erase("as");
    // Labels and scores are called ALIAS.NAME.
    const auto plain = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; };
    if (!std::all_of(use.alias.begin(), use.alias.end(), plain))
      return bad_input(where + " " + use.name + ": as: '" + use.alias +
                       "' is no name; expected letters, digits, _ and -");
    if (use.alias == "proctor")
      return bad_input(where + " " + use.name +
                       ": the label name 'proctor' is proctor's own; use another as=");
  }
  if (auto* suites = use.options.if_contains("suites")) {
    static const OptionInfo kSuites{.name = "suites", .type = OptionType::list};
    if (!suites->is_null()) {  // null asks for the default
      auto names = fitted(*suites, kSuites);
      if (names->get_array().empty())
        return bad_input(where + " " + use.name +
                         ": suites: is empty; left out, it is all of them");
      for (const auto& name : names->get_array()) use.suites.emplace_back(name.get_string());
    }
    use.options.erase("suites");
  }
  return use;
}

Result<PluginUse> parse_plugin_use(const std::string& text) {
  if (text.starts_with("@")) {
    auto file = read_yaml(text.substr(1));
    if (!file) return std::move(file).error();
    return read_plugin_use(file->root, file->path);
  }
  const std::size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  if (name.empty()) return bad_input("'" + text + "': expected NAME or NAME:key=value,...");
  json::object options;
  if (colon != std::string::npos) {
    std::vector<std::string> parts(1);
    for (std::size_t i = colon + 1; i < text.size(); ++i) {
      if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == ',' || text[i + 1] == '\\'))
        parts.back() += text[++i];
      else if (text[i] == ',')
        parts.emplace_back();
      else
        parts.back() += text[i];
    }
    for (const auto& part : parts) {
      const std::size_t equals = part.find('=');
      if (equals == std::string::npos || equals == 0)
        return bad_input("'" + text + "': expected key=value, got '" + part +
                         "' (a comma within a value is written \\,)");
      const std::string key = part.substr(0, equals);
      if (options.contains(key)) return bad_input("'" + text + "': " + key + " stands twice");
      options[key] = json::string(part.substr(equals + 1));
    }
  }
  json::object whole;
  whole[name] = std::move(options);
  return read_plugin_use(whole, "'" + text + "'");
}

Error YamlFile::complain(const std::string& json_path, const std::string& what) const {
  for (std::string at = json_path;;) {
    if (const auto origin = origins.find(at); origin != origins.end())
      return bad_input(origin->second + ": " + what);
    if (const auto line = lines.find(at); line != lines.end())
      return bad_input(path + ":" + std::to_string(std::max(1, line->second)) + ": " + what);
    // What an option brought in stands on no line, and complaints may be about all of it.
    if (const auto below = origins.lower_bound(at + ".");
        !at.empty() && below != origins.end() && below->first.starts_with(at + "."))
      return bad_input(below->second + ": " + what);
    if (at.empty()) return bad_input(path + ":1: " + what);
    const std::size_t cut = at.find_last_of(".[");
    at = cut == std::string::npos ? "" : at.substr(0, cut);
  }
}

void YamlFile::replaced(const std::string& json_path, const std::string& origin) {
  std::erase_if(lines, [&](const auto& entry) {
    const std::string& known = entry.first;
    return known.starts_with(json_path) &&
           (known.size() == json_path.size() || known[json_path.size()] == '.' ||
            known[json_path.size()] == '[');
  });
  origins[json_path] = origin;
}

Result<YamlFile> parse_yaml(const std::string& text, const std::string& name) {
  YamlFile file{.path = name};
  if (const auto fault = read_text(text, file))
    return bad_input(name + ":" + fault->place + ": " + fault->what);
  return file;
}

Result<YamlFile> read_yaml(const std::string& path) {
  auto text = read_file(path);
  if (!text) return std::move(text).error();
  return parse_yaml(*text, path);
}

std::string to_yaml(const json::value& value) {
  YAML::Emitter out;
  emit(out, value);
  return std::string(out.c_str()) + "\n";
}

Status set_by_path(json::value& root, const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0)
    return bad_input("--set " + assignment + ": expected KEY=VALUE");
  // YAML would make null of it, which asks for the default.
  if (assignment.find_first_not_of(" \t", equals + 1) == std::string::npos)
    return bad_input("--set " + assignment +
                     ": the value is missing; null asks for the default, \"\" is an empty text");
  YamlFile value;
  if (const auto fault = read_text(assignment.substr(equals + 1), value))
    return bad_input("--set " + assignment + ": " + fault->what);
  json::value* at = &root;
  for (const auto& part : split(std::string_view(assignment).substr(0, equals), '.')) {
    if (at->is_null()) at->emplace_object();
    if (!at->is_object())
      return bad_input("--set " + assignment + ": '" + part +
                       "' lies below something that is no "
                       "mapping");
    at = &at->get_object()[part];
  }
  *at = std::move(value.root);
  return {};
}

}  // namespace proctor
