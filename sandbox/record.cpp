// The Execution record of the contract.
#include <array>

#include "runtime/core/unicode.h"
#include "sandbox/base64.h"
#include "sandbox/sandbox.h"

namespace proctor {
namespace {

// As the contract has it: bytes that are no UTF-8 become U+FFFD, and `replaced` names the streams.
std::string valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      valid += text[at++];
      continue;
    }
    const Character character = decode(text, at);
    append_utf8(valid, character.point);
    at += character.bytes;
  }
  return valid;
}

// Without the beginning of a character that a cut at the limit has left.
std::string_view whole_characters(std::string_view text, bool cut) {
  if (!cut || text.empty()) return text;
  const std::size_t start = character_start(text, text.size() - 1);
  const auto lead = static_cast<unsigned char>(text[start]);
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  return start + bytes > text.size() ? text.substr(0, start) : text;
}

json::array array_of(const std::vector<std::string>& texts) {
  json::array array;
  for (const auto& text : texts) array.emplace_back(text);
  return array;
}

json::object to_json(const NetworkUse& network) {
  json::array connections;
  for (const auto& each : network.connections) {
    json::object connection{{"host", valid_utf8(each.host)},
                            {"port", each.port},
                            {"address", nullptr},
                            {"bytes_out", each.bytes_out},
                            {"bytes_in", each.bytes_in},
                            {"ms", number_or_null(each.ms)},
                            {"status", to_string(each.outcome)}};
    if (!each.address.empty()) connection["address"] = each.address;
    if (!each.why.empty()) connection["why"] = valid_utf8(each.why);
    connections.push_back(std::move(connection));
  }
  return {{"connections", std::move(connections)}, {"unlisted", network.unlisted}};
}

}  // namespace

const char* to_string(NetworkConnection::Outcome outcome) {
  static constexpr std::array kNames = {"ok", "refused", "error", "limit", "open"};
  return kNames[static_cast<std::size_t>(outcome)];
}

json::object to_json(const Execution& execution) {
  json::object files;
  for (const auto& [name, bytes] : execution.files) files[name] = to_base64(bytes);
  json::array missing;
  for (const auto& layer : execution.isolation.missing)
    missing.push_back(
        json::object{{"layer", layer.layer}, {"why", layer.why}, {"remedy", layer.remedy}});
  json::array denied;
  for (const auto& [name, count] : execution.denied)
    denied.push_back(json::object{{"syscall", name}, {"count", count}});
  const std::string_view out = whole_characters(execution.out, execution.out_truncated);
  const std::string_view err = whole_characters(execution.err, execution.err_truncated);
  json::object record{{"status", to_string(execution.ending)},
                      {"exit_code", nullptr},
                      {"signal", nullptr},
                      {"stdout", valid_utf8(out)},
                      {"stderr", valid_utf8(err)},
                      {"stdout_truncated", execution.out_truncated},
                      {"stderr_truncated", execution.err_truncated},
                      {"files", std::move(files)},
                      {"usage",
                       {{"wall_ms", number_or_null(execution.usage.wall_ms)},
                        {"cpu_ms", number_or_null(execution.usage.cpu_ms)},
                        {"peak_memory_bytes", execution.usage.peak_memory_bytes},
                        {"peak_processes", execution.usage.peak_processes}}},
                      {"isolation",
                       {{"level", execution.isolation.level},
                        {"active", array_of(execution.isolation.active)},
                        {"missing", std::move(missing)}}},
                      {"denied", std::move(denied)}};
  if (execution.exit_code) record["exit_code"] = *execution.exit_code;
  if (execution.signal) record["signal"] = *execution.signal;
  if (execution.network) record["network"] = to_json(*execution.network);
  if (!execution.error.empty()) record["error"] = execution.error;
  json::array replaced;
  if (!is_utf8(out)) replaced.emplace_back("stdout");
  if (!is_utf8(err)) replaced.emplace_back("stderr");
  if (!replaced.empty()) record["replaced"] = std::move(replaced);
  return record;
}

}  // namespace proctor
