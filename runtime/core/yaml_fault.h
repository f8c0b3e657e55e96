// What keeps a text from being YAML, in words of whoever wrote it. Blind spot: where a quotation or
// a bracket was opened; yaml-cpp says where it missed the end.
#pragma once

#include <yaml-cpp/exceptions.h>

#include <optional>
#include <string>
#include <string_view>

namespace proctor {

struct YamlFault {
  std::string place;  // "LINE:COLUMN", or "LINE" alone, from 1
  std::string what;
};

// A byte that cannot stand in YAML. yaml-cpp takes what is no UTF-8 as it is, and one of the
// control characters, 0x04, for the end.
std::optional<YamlFault> fault_of_bytes(std::string_view text);
// The text as yaml-cpp is to get it: it takes a quoted text that the last line's end cuts off for a
// whole one, unless a comment follows.
std::string closed_yaml(std::string text);
// What yaml-cpp complains of.
YamlFault fault_of(const YAML::Exception& error, std::string_view text);

}  // namespace proctor
