#line 1 "harness.h"
// Put behind a C++ program in the sandbox: reads the entry point's arguments as JSON from standard
// input, calls it, and writes the result as JSON. The program's own output is thrown away.
//
// Blind spot: the entry point must be one plain function; overloads and templates do not compile.
#include <cxxabi.h>
#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace proctor_harness {

struct Json {
  enum Kind { null, boolean, number, text, list, object } kind = null;
  bool truth = false;
  std::string word;  // a text, or a number as written
  std::vector<Json> items;
  std::vector<std::pair<std::string, Json>> members;
};

// Reads what the host wrote, so only well-formed JSON.
struct Reader {
  const std::string& in;
  std::size_t at = 0;

  char peek() {
    while (at < in.size() && (in[at] == ' ' || in[at] == '\n')) ++at;
    return at < in.size() ? in[at] : '\0';
  }
  static void append_utf8(std::string& out, unsigned code) {
    if (code < 0x80) {
      out += char(code);
    } else if (code < 0x800) {
      out += char(0xC0 | code >> 6);
      out += char(0x80 | (code & 63));
    } else if (code < 0x10000) {
      out += char(0xE0 | code >> 12);
      out += char(0x80 | (code >> 6 & 63));
      out += char(0x80 | (code & 63));
    } else {
      out += char(0xF0 | code >> 18);
      out += char(0x80 | (code >> 12 & 63));
      out += char(0x80 | (code >> 6 & 63));
      out += char(0x80 | (code & 63));
    }
  }
  unsigned hex4() {
    const unsigned code = unsigned(std::strtoul(in.substr(at, 4).c_str(), nullptr, 16));
    at += 4;
    return code;
  }
  std::string text() {
    std::string out;
    for (++at; in[at] != '"';) {
      if (in[at] != '\\') {
        out += in[at++];
        continue;
      }
      const char kind = in[at + 1];
      at += 2;
      if (kind == 'u') {
        unsigned code = hex4();
        if (code >= 0xD800 && code < 0xDC00 && in[at] == '\\') {
          at += 2;
          code = 0x10000 + ((code - 0xD800) << 10) + (hex4() - 0xDC00);
        }
        append_utf8(out, code);
      } else {
        const std::string_view from = "bfnrt", to = "\b\f\n\r\t";
        const auto found = from.find(kind);
        out += found == from.npos ? kind : to[found];
      }
    }
    ++at;
    return out;
  }
  Json value() {
    Json made;
    const char first = peek();
    if (first == '[') {
      made.kind = Json::list;
      for (++at; peek() != ']';) {
        made.items.push_back(value());
        if (peek() == ',') ++at;
      }
      ++at;
    } else if (first == '{') {
      made.kind = Json::object;
      for (++at; peek() != '}';) {
        std::string key = text();
        if (peek() == ':') ++at;
        made.members.emplace_back(std::move(key), value());
        if (peek() == ',') ++at;
      }
      ++at;
    } else if (first == '"') {
      made.kind = Json::text;
      made.word = text();
    } else if (first == 't' || first == 'f' || first == 'n') {
      made.kind = first == 'n' ? Json::null : Json::boolean;
      made.truth = first == 't';
      at += first == 'f' ? 5 : 4;
    } else {
      made.kind = Json::number;
      while (at < in.size() &&
             std::string_view("+-.eE0123456789").find(in[at]) != std::string_view::npos)
        made.word += in[at++];
    }
    return made;
  }
};

[[noreturn]] inline void misfit(const char* wanted) {
  throw std::invalid_argument(std::string("the argument is no ") + wanted);
}

template <class T>
struct As {
  static T from(const Json& json) {
    if constexpr (std::is_same_v<T, bool>) {
      if (json.kind != Json::boolean) misfit("truth value");
      return json.truth;
    } else if constexpr (std::is_same_v<T, char>) {
      if (json.kind != Json::text || json.word.size() != 1) misfit("character");
      return json.word[0];
    } else if constexpr (std::is_integral_v<T>) {
      T made{};
      const char* end = json.word.data() + json.word.size();
      const auto read = std::from_chars(json.word.data(), end, made);
      if (json.kind != Json::number || read.ec != std::errc() || read.ptr != end)
        misfit("integer in range");
      return made;
    } else if constexpr (std::is_floating_point_v<T>) {
      if (json.kind != Json::number) misfit("number");
      return T(std::strtod(json.word.c_str(), nullptr));
    } else {
      if (json.kind != Json::text) misfit("text");
      return T(json.word);  // std::string, std::string_view
    }
  }
};
template <class T>
struct As<std::optional<T>> {
  static std::optional<T> from(const Json& json) {
    if (json.kind == Json::null) return std::nullopt;
    return As<T>::from(json);
  }
};
template <class A, class B>
struct As<std::pair<A, B>> {
  static std::pair<A, B> from(const Json& json) {
    if (json.items.size() != 2) misfit("pair");
    return {As<A>::from(json.items[0]), As<B>::from(json.items[1])};
  }
};
template <class Set>
Set collect(const Json& json) {
  if (json.kind != Json::list) misfit("list");
  Set made;
  for (const Json& item : json.items)
    made.insert(made.end(), As<typename Set::value_type>::from(item));
  return made;
}
template <class Map>
Map collect_map(const Json& json) {
  if (json.kind != Json::object) misfit("object");
  Map made;
  for (const auto& [key, item] : json.members) {
    Json name;
    name.kind = std::is_integral_v<typename Map::key_type> ? Json::number : Json::text;
    name.word = key;
    made.emplace(As<typename Map::key_type>::from(name), As<typename Map::mapped_type>::from(item));
  }
  return made;
}
template <class T, class A>
struct As<std::vector<T, A>> {
  static std::vector<T, A> from(const Json& json) { return collect<std::vector<T, A>>(json); }
};
template <class T>
struct As<std::set<T>> {
  static std::set<T> from(const Json& json) { return collect<std::set<T>>(json); }
};
template <class T>
struct As<std::unordered_set<T>> {
  static std::unordered_set<T> from(const Json& json) {
    return collect<std::unordered_set<T>>(json);
  }
};
template <class K, class V>
struct As<std::map<K, V>> {
  static std::map<K, V> from(const Json& json) { return collect_map<std::map<K, V>>(json); }
};
template <class K, class V>
struct As<std::unordered_map<K, V>> {
  static std::unordered_map<K, V> from(const Json& json) {
    return collect_map<std::unordered_map<K, V>>(json);
  }
};

inline void write(std::string& out, std::string_view text) {
  out += '"';
  for (const unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += char(c);
    } else if (c < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
      out += escaped;
    } else {
      out += char(c);
    }
  }
  out += '"';
}
template <class T>
concept Listing = requires(const T& value) {
  value.begin();
  value.end();
};
template <class T>
concept Mapping = Listing<T> && requires { typename T::mapped_type; };

template <class T>
void write(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    out += value ? "true" : "false";
  } else if constexpr (std::is_same_v<T, char>) {
    write(out, std::string_view(&value, 1));
  } else if constexpr (std::is_convertible_v<T, std::string_view>) {
    write(out, std::string_view(value));
  } else if constexpr (std::is_integral_v<T>) {
    out += std::to_string(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    char text[64];
    std::snprintf(text, sizeof text, std::isfinite(value) ? "%.17g" : "{\"not json\":\"%g\"}",
                  double(value));
    out += text;
  } else if constexpr (Mapping<T>) {
    out += '{';
    for (const auto& [key, item] : value) {
      if (out.back() != '{') out += ',';
      if constexpr (std::is_integral_v<typename T::key_type>)
        write(out, std::string_view(std::to_string(key)));
      else
        write(out, key);
      out += ':';
      write(out, item);
    }
    out += '}';
  } else if constexpr (Listing<T>) {
    out += '[';
    bool first = true;
    for (auto it = value.begin(); it != value.end(); ++it) {
      if (!first) out += ',';
      first = false;
      write(out, static_cast<const typename T::value_type&>(*it));
    }
    out += ']';
  } else if constexpr (requires { value.has_value(); }) {
    value ? write(out, *value) : void(out += "null");
  } else {
    out += '[';
    std::apply(
        [&](const auto&... items) {
          bool first = true;
          ((out += first ? "" : ",", first = false, write(out, items)), ...);
        },
        value);
    out += ']';
  }
}

template <class R, class... A, std::size_t... I>
void call(std::string& out, R (*function)(A...), const Json& arguments, std::index_sequence<I...>) {
  if (arguments.items.size() != sizeof...(A)) misfit("fitting number of arguments");
  std::tuple<std::decay_t<A>...> values{As<std::decay_t<A>>::from(arguments.items[I])...};
  if constexpr (std::is_void_v<R>) {
    function(static_cast<A&&>(std::get<I>(values))...);
    if constexpr (sizeof...(A) > 0)
      write(out, std::get<0>(values));  // changed in place
    else
      out += "null";
  } else {
    write(out, std::decay_t<R>(function(static_cast<A&&>(std::get<I>(values))...)));
  }
}
template <class R, class... A>
void call(std::string& out, R (*function)(A...), const Json& arguments) {
  call(out, function, arguments, std::index_sequence_for<A...>());
}

template <class Function>
int run(Function* function) {
  std::string given;
  char block[1 << 14];
  for (ssize_t n; (n = read(0, block, sizeof block)) > 0;) given.append(block, std::size_t(n));
  const int result = dup(1);
  const int nothing = open("/dev/null", O_WRONLY);
  dup2(nothing, 1);
  std::string out = "=";
  try {
    const Json arguments = Reader{given}.value();
    call(out, function, arguments);
  } catch (const std::exception& error) {
    int status = 0;
    char* name = abi::__cxa_demangle(typeid(error).name(), nullptr, nullptr, &status);
    out = "!" + std::string(name ? name : "exception");
  } catch (...) {
    out = "!exception";
  }
  for (std::size_t done = 0; done < out.size();) {
    const ssize_t n = ::write(result, out.data() + done, out.size() - done);
    if (n <= 0) return 1;
    done += std::size_t(n);
  }
  return 0;
}

}  // namespace proctor_harness

int main() { return proctor_harness::run(PROCTOR_ENTRY_POINT); }
