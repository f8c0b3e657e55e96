// Probes from test inputs and grids; see probes.h.
#include "supervisors/probes.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "runtime/core/determinism.h"
#include "supervisors/code_lines.h"

namespace proctor {
namespace {

std::string key_of(const ProgramInput& input) {
  return input.args ? canonical_value(json::value(*input.args)) : "stdin " + input.input;
}

// The values that one kind of JSON value is tried with.
struct Grid {
  std::vector<std::int64_t> numbers;
  std::vector<std::int64_t> borders;  // the program's own numbers and their neighbours
  std::vector<std::string> texts;
};

// Small numbers, and those of the program with their neighbours: borders lie there.
Grid grid_for(Language language, const std::string& program) {
  Grid grid{{0, 1, 2, -1, 3, 10}, {}, {"", "a", "ab", "A b", "aa"}};
  for (const CodeLine& line : code_lines(language, program))
    for (const CodeToken& token : line.tokens) {
      if (token.kind == CodeToken::Kind::text && token.word.size() > 2 && token.word.size() < 20)
        grid.texts.push_back(token.word.substr(1, token.word.size() - 2));
      if (token.kind != CodeToken::Kind::number || token.word.size() > 6) continue;
      const std::int64_t number = std::strtoll(token.word.c_str(), nullptr, 10);
      for (const std::int64_t near : {number - 1, number, number + 1}) grid.borders.push_back(near);
    }
  if (grid.borders.empty()) grid.borders = {0, 1};
  const std::int64_t largest = *std::max_element(grid.borders.begin(), grid.borders.end());
  grid.numbers.push_back(2 * largest + 7);  // beyond all of them
  const auto tidy = [](auto& values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
  };
  tidy(grid.numbers);
  tidy(grid.borders);
  tidy(grid.texts);
  return grid;
}

class Prober {
 public:
  Prober(Grid grid, std::uint64_t seed) : grid_(std::move(grid)), rng_(seed) {}

  // Another value of the same type.
  json::value changed(const json::value& value, int depth = 0) {
    if (value.is_bool()) return !value.as_bool();
    if (value.is_int64()) return changed_integer(value.as_int64());
    if (value.is_double()) return changed_double(value.as_double());
    if (value.is_string()) return json::value(changed_text(std::string(value.as_string())));
    if (value.is_array()) return changed_list(value.as_array(), depth);
    if (value.is_object() && !value.as_object().empty() && depth < 4) {
      json::object object = value.as_object();
      auto entry = object.begin() + static_cast<std::ptrdiff_t>(rng_.below(object.size()));
      entry->value() = changed(entry->value(), depth + 1);
      return object;
    }
    return value;
  }

  // A value of the same type from the grid.
  json::value fresh(const json::value& like, int depth = 0) {
    if (like.is_bool()) return rng_.below(2) == 1;
    if (like.is_int64()) return number();
    if (like.is_double()) return static_cast<double>(number()) + (rng_.below(2) == 1 ? 0.5 : 0.0);
    if (like.is_string()) return json::value(grid_.texts[rng_.below(grid_.texts.size())]);
    if (like.is_array() && !like.as_array().empty() && depth < 4) {
      json::array list;
      constexpr std::size_t kSizes[] = {0, 1, 1, 1, 2, 2, 3, 4};
      const std::size_t size = kSizes[rng_.below(8)];
      for (std::size_t i = 0; i < size; ++i)
        list.push_back(fresh(like.as_array()[rng_.below(like.as_array().size())], depth + 1));
      return list;
    }
    return like;
  }

  std::string changed_input(const std::string& input) {
    std::string out;
    for (std::size_t i = 0; i < input.size();) {
      std::size_t end = i;
      while (end < input.size() && std::isdigit(static_cast<unsigned char>(input[end]))) ++end;
      if (end > i && end - i < 10) {
        const std::int64_t number = std::strtoll(input.substr(i, end - i).c_str(), nullptr, 10);
        out += std::to_string(rng_.below(3) == 0 ? changed_integer(number).as_int64() : number);
      } else if (end > i) {
        out += input.substr(i, end - i);
      } else {
        out += input[end++];
      }
      i = end;
    }
    if (rng_.below(4) == 0) return changed_text(out);
    return out;
  }

  Rng& rng() { return rng_; }

 private:
  std::int64_t number() {
    const auto& from = rng_.below(2) == 1 ? grid_.borders : grid_.numbers;
    return from[rng_.below(from.size())];
  }
  json::value changed_integer(std::int64_t n) {
    switch (rng_.below(6)) {
      case 0:
        return n < INT32_MAX ? n + 1 : n;
      case 1:
        return n > INT32_MIN ? n - 1 : n;
      case 2:
        return n > INT32_MIN ? -n : n;
      case 3:
        return n / 2;
      case 4:
        return 0;
      default:
        return number();
    }
  }
  json::value changed_double(double n) {
    switch (rng_.below(4)) {
      case 0:
        return n + 0.5;
      case 1:
        return -n;
      case 2:
        return n - 1.0;
      default:
        return static_cast<double>(number()) + 0.5;
    }
  }
  std::string changed_text(std::string text) {
    const std::size_t at = text.empty() ? 0 : rng_.below(text.size());
    switch (rng_.below(6)) {
      case 0:
        return "";
      case 1:
        return text.empty() ? text : text.erase(at, 1);
      case 2:
        return text.empty() ? text : text.insert(at, 1, text[at]);
      case 3:
        for (char& c : text)
          c = static_cast<char>(std::islower(static_cast<unsigned char>(c))
                                    ? std::toupper(static_cast<unsigned char>(c))
                                    : std::tolower(static_cast<unsigned char>(c)));
        return text;
      case 4:
        return text + grid_.texts[rng_.below(grid_.texts.size())];
      default:
        return text + text;
    }
  }
  json::value changed_list(json::array list, int depth) {
    if (list.empty() || depth > 4) return list;
    const std::size_t at = rng_.below(list.size());
    switch (rng_.below(6)) {
      case 0:
        return json::array{};
      case 1:
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(at));
        return list;
      case 2: {
        json::value copy = list[at];
        list.push_back(std::move(copy));
        return list;
      }
      case 3:
        std::reverse(list.begin(), list.end());
        return list;
      case 4: {
        json::value other = fresh(list[at], depth + 1);
        list.push_back(std::move(other));
        return list;
      }
      default:
        list[at] = changed(list[at], depth + 1);
        return list;
    }
  }

  Grid grid_;
  Rng rng_;
};

// A text with a broken character cannot travel as JSON.
bool is_utf8(const ProgramInput& input) {
  const std::string text = input.args ? json::serialize(*input.args) : input.input;
  std::size_t i = 0;
  while (i < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t more = c < 0x80 ? 0 : c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 9;
    if (more == 9 || i + more >= text.size() + (more == 0)) return false;
    for (std::size_t k = 1; k <= more; ++k)
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return false;
    i += more + 1;
  }
  return true;
}

}  // namespace

std::vector<ProgramInput> make_probes(const ProgramTask& task, const std::string& program,
                                      std::uint64_t seed, std::size_t most) {
  std::vector<ProgramInput> probes;
  if (task.tests.empty()) return probes;
  Prober prober(grid_for(task.language, program), seed);
  std::set<std::string> known;
  for (const ProgramTest& test : task.tests) known.insert(key_of(test.given));

  // Tries are bounded: a function without arguments has no other inputs.
  for (std::size_t tries = 0; tries < most * 4 && probes.size() < most; ++tries) {
    ProgramInput probe = task.tests[tries % task.tests.size()].given;
    if (probe.args && !probe.args->empty()) {
      if (tries % 2 == 0) {
        json::value& one = (*probe.args)[prober.rng().below(probe.args->size())];
        one = prober.changed(one);
      } else {
        for (json::value& each : *probe.args) each = prober.fresh(each);
      }
    } else if (!probe.args) {
      probe.input = prober.changed_input(probe.input);
    }
    if (is_utf8(probe) && known.insert(key_of(probe)).second) probes.push_back(std::move(probe));
  }
  return probes;
}

}  // namespace proctor
