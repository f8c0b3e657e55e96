// The table of languages. How each is started stands in execute.cpp (interpreters) and compile.cpp.
#include "sandbox/language.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "sandbox/python.h"

namespace proctor {
namespace {

constexpr std::array kLanguages = {
    LanguageInfo{Language::python, "python", "Python 3", "", "python3", ".py ", ""},
    LanguageInfo{Language::c, "c", "C", "/usr/bin/gcc", "gcc", ".c ", "work/main.c"},
    LanguageInfo{Language::cpp, "cpp", "C++20", "/usr/bin/g++", "g++", ".cpp .cc .cxx ",
                 "work/main.cpp"},
    LanguageInfo{Language::bash, "bash", "bash", "/bin/bash", "bash", ".sh .bash ", "code/main.sh"},
    LanguageInfo{Language::js, "js", "JavaScript (node)", "/usr/bin/node", "nodejs", ".js ",
                 "work/main.js"}};

template <class Is>
std::optional<Language> first(Is is) {
  const auto found = std::find_if(kLanguages.begin(), kLanguages.end(), is);
  if (found == kLanguages.end()) return std::nullopt;
  return found->language;
}

}  // namespace

std::span<const LanguageInfo> languages() { return kLanguages; }

const LanguageInfo& info_of(Language language) {
  return kLanguages[static_cast<std::size_t>(language)];
}

std::string program_of(Language language) {
  const std::string program =
      language == Language::python ? find_python("").interpreter : info_of(language).program;
  return !program.empty() && access(program.c_str(), X_OK) == 0 ? program : "";
}

std::optional<Language> parse_language(std::string_view text) {
  return first([&](const LanguageInfo& each) { return each.name == text; });
}

const char* to_string(Language language) { return info_of(language).name; }

std::optional<Language> language_of_ending(std::string_view ending) {
  if (ending.empty()) return std::nullopt;
  const std::string wanted = std::string(ending) + ' ';
  return first([&](const LanguageInfo& each) {
    return each.endings.find(wanted) != std::string_view::npos;
  });
}

std::string language_names() {
  std::string names;
  for (const LanguageInfo& each : kLanguages) {
    if (!names.empty()) names += &each == &kLanguages.back() ? " or " : ", ";
    names += each.name;
  }
  return names;
}

}  // namespace proctor
