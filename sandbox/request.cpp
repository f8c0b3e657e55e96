// Requests as records, as `exec --batch` and the server take them.
#include <algorithm>
#include <array>

#include "runtime/core/config.h"
#include "sandbox/base64.h"
#include "sandbox/sandbox.h"

namespace proctor {
namespace {

const std::vector<std::string> kKnown = {
    "lang",         "code",           "time_ms",    "wall_ms",      "memory_bytes",
    "output_bytes", "processes",      "open_files", "file_bytes",   "disk_bytes",
    "inodes",       "network",        "files",      "get",          "stdin",
    "arguments",    "compiler_flags", "id",         "network_bytes"};

// What execve can take.
Status check_arguments(const char* key, const std::vector<std::string>& arguments) {
  constexpr std::size_t kMost = 511;
  if (arguments.size() > kMost)
    return bad_input(std::string(key) + ": at most " + std::to_string(kMost) + ", got " +
                     std::to_string(arguments.size()));
  for (const auto& argument : arguments)
    if (argument.find('\0') != std::string::npos)
      return bad_input(std::string(key) + ": an argument holds a NUL character");
  return {};
}

}  // namespace

Result<ExecutionRequest> read_execution_request(const json::object& object,
                                                const Limits& defaults) {
  for (const auto& [key, value] : object)
    if (std::find(kKnown.begin(), kKnown.end(), std::string(key)) == kKnown.end())
      return bad_input("unknown key '" + std::string(key) + "'" +
                       nearest_hint(std::string(key), kKnown));
  ExecutionRequest request;
  Fields fields(object, "");
  const std::string language = fields.text("lang");
  request.code = fields.text("code");
  request.input = fields.text_or("stdin", "");
  request.get = fields.texts_or_empty("get");
  request.arguments = fields.texts_or_empty("arguments");
  request.compiler_flags = fields.texts_or_empty("compiler_flags");
  for (const auto& [name, value] : fields.object_or_empty("files")) {
    const auto bytes =
        value.is_string() ? from_base64(std::string_view(value.as_string())) : std::nullopt;
    if (!bytes)
      fields.complain("files", "'" + std::string(name) + "' is no base64 text");
    else
      request.files[std::string(name)] = *bytes;
  }
  if (!fields.status().ok()) return Error(fields.status().error());
  for (const auto& [key, list] : {std::pair{"arguments", &request.arguments},
                                  std::pair{"compiler_flags", &request.compiler_flags}})
    if (auto checked = check_arguments(key, *list); !checked) return std::move(checked).error();
  std::vector<std::string> known;
  for (const LanguageInfo& each : languages()) known.emplace_back(each.name);
  const auto parsed = parse_language(language);
  if (!parsed)
    return bad_input("lang: unknown language '" + language + "'" + nearest_hint(language, known));
  request.language = *parsed;
  auto limits = read_limits(object, defaults);
  if (!limits) return std::move(limits).error();
  request.limits = *limits;
  return request;
}

}  // namespace proctor
