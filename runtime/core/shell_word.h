// Paths in what users are told to type. Blind spot: shells that do not quote as POSIX does.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace proctor {

// As it is pasted into a shell: quoted where it needs to be, and never taken for an option.
inline std::string shell_word(std::string word) {
  if (word.starts_with('-')) word.insert(0, "./");
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_@%+=:,./-").find(c) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace proctor
