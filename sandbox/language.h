// The languages that run here, one row each.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace proctor {

enum class Language { python, c, cpp, bash, js };

struct LanguageInfo {
  Language language;
  const char* name;   // in requests; also of the tool
  const char* title;  // for people and models
  // What runs or compiles it, and the package that it comes with. Python's is found by find_python.
  const char* program;
  const char* package;
  std::string_view endings;  // of file names, each with a space behind it
  const char* file;          // where a program's text goes below the box; "": it is handed over
};

std::span<const LanguageInfo> languages();
const LanguageInfo& info_of(Language language);
// The file that runs or compiles guests' programs, whatever PATH says; "" when it is not there.
std::string program_of(Language language);
std::optional<Language> parse_language(std::string_view text);
const char* to_string(Language language);
// By the ending of a file's name, its dot included.
std::optional<Language> language_of_ending(std::string_view ending);
// "python, c, cpp, bash or js"
std::string language_names();

}  // namespace proctor
