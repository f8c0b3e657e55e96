// Builds grammars in llama.cpp's GBNF: named rules, literals, JSON by schema, and free text,
// bounded or not, in which given words cannot occur. Unbounded text is written as runs of one
// character class, which servers' engines (xgrammar) check against a whole vocabulary at once; a
// counted unit of several alternatives costs them seconds a token.
//
// Blind spot: a JSON schema is followed for type, enum, properties and required; anything else is
// "any JSON".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policies/model.h"

namespace proctor {

class Grammar {
 public:
  // `most_chars` bounds each free text, JSON strings included, which never hold `never_in_json`;
  // 0: no bound.
  explicit Grammar(int most_chars, char never_in_json = '\x7F')
      : most_chars_(most_chars), never_in_json_(never_in_json) {}

  // "literal" with GBNF's escapes.
  static std::string literal(std::string_view text);

  // Adds a rule and gives its name back; the same name is added once only.
  std::string rule(const std::string& name, const std::string& body);

  // Text of at most `most_chars` characters, line breaks included, none of `words` in it; all of
  // them begin with `first`. It begins with a character that is no white space; with
  // `behind_first`, as if `first` stood right before it.
  std::string text_without(const std::string& name, char first,
                           const std::vector<std::string>& words, bool behind_first = false);
  // The same on one line of at most a third of the characters, without `excluded` anywhere.
  std::string line_without(const std::string& name, std::string_view excluded);

  // A JSON object by its schema: required parameters in their order, then any of the optional ones
  // in theirs.
  std::string object(const std::string& name, const json::object& schema);

  // All rules, `root` first.
  std::string text(const std::string& root) const;

 private:
  std::string value(const std::string& name, const json::value& schema);
  std::string string_rule();
  // Any number of `ordinary` (a character class) and of the rarer `odd`.
  std::string runs(const std::string& name, const std::string& ordinary, const std::string& odd);
  std::string any_json();

  int most_chars_;
  char never_in_json_;
  std::vector<std::pair<std::string, std::string>> rules_;
};

}  // namespace proctor
