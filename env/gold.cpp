// Gold as texts.
#include "env/gold.h"

#include "runtime/core/text.h"

namespace proctor {

std::string gold_text(const json::value& value) {
  return value.is_string() ? std::string(value.get_string()) : readable_json(value);
}

std::vector<std::string> gold_texts(const json::object& gold, std::string_view field) {
  std::vector<std::string> texts;
  const json::value* given = gold.if_contains(field);
  if (!given) return texts;
  const json::array list = given->is_array() ? given->get_array() : json::array{*given};
  for (const json::value& entry : list)
    if (entry.is_number() || (entry.is_string() && !trimmed(entry.get_string()).empty()))
      texts.push_back(gold_text(entry));
  return texts;
}

}  // namespace proctor
