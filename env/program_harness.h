#line 1 "program_harness.h"
// Put behind a C++ program in the sandbox: reads the entry point's arguments as JSON from standard
// input, calls it, and writes the result as JSON. The program's own output is thrown away.
//
// In two halves, since every program compiles the first: what depends on the entry point's type,
// with as few headers as can be, and (PROCTOR_HARNESS_BODY) the rest, compiled once. Blind spot:
// the entry point must be one plain function; overloads and templates do not compile.
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace proctor_harness {

struct Json {
  enum Kind { null, boolean, number, text, list, object } kind = null;
  bool truth = false;
  std::string word;  // a text, or a number as written
  std::vector<Json> items;
  std::vector<std::string> keys;  // of an object: one an item
};

[[noreturn]] void misfit(const char* wanted);
long long signed_in(const Json& json, long long least, long long most);
unsigned long long unsigned_in(const Json& json, unsigned long long most);
double real_of(const Json& json);
void write_text(std::string& out, const char* text, std::size_t size);
void write_real(std::string& out, double value);
// Reads the arguments, lets `call` append the result, and writes it; the exit status.
int run(void (*call)(std::string& out, const Json& arguments));

#ifndef PROCTOR_HARNESS_BODY

template <class T>
concept Listing = requires(T value) {
  typename T::value_type;
  value.begin();
  value.end();
};
template <class T>
concept Mapping = Listing<T> && requires { typename T::mapped_type; };
template <class T>
concept Tupled = requires { std::tuple_size<T>::value; } && !Listing<T>;
template <class T>
concept Text = Listing<T> && std::is_constructible_v<T, const std::string&> &&
               std::is_same_v<typename T::value_type, char>;

template <class T>
T from(const Json& json);

template <class T, std::size_t... I>
T tuple_from(const Json& json, std::index_sequence<I...>) {
  if (json.items.size() != sizeof...(I)) misfit("list of that size");
  return T{from<std::decay_t<std::tuple_element_t<I, T>>>(json.items[I])...};
}

template <class T>
T from(const Json& json) {
  if constexpr (std::is_same_v<T, bool>) {
    if (json.kind != Json::boolean) misfit("truth value");
    return json.truth;
  } else if constexpr (std::is_same_v<T, char>) {
    if (json.kind != Json::text || json.word.size() != 1) misfit("character");
    return json.word[0];
  } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    constexpr auto most = static_cast<long long>((~0ull >> 1) >> (64 - 8 * sizeof(T)));
    return static_cast<T>(signed_in(json, -most - 1, most));
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(unsigned_in(json, ~0ull >> (64 - 8 * sizeof(T))));
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(real_of(json));
  } else if constexpr (Text<T>) {
    if (json.kind != Json::text) misfit("text");
    return T(json.word);
  } else if constexpr (Mapping<T>) {
    if (json.kind != Json::object) misfit("object");
    T made;
    for (std::size_t i = 0; i < json.items.size(); ++i) {
      Json key;
      key.kind = std::is_integral_v<typename T::key_type> ? Json::number : Json::text;
      key.word = json.keys[i];
      made.emplace(from<typename T::key_type>(key), from<typename T::mapped_type>(json.items[i]));
    }
    return made;
  } else if constexpr (Listing<T>) {
    if (json.kind != Json::list) misfit("list");
    T made;
    if constexpr (requires { made.insert(made.end(), from<typename T::value_type>(json)); }) {
      for (const Json& item : json.items)
        made.insert(made.end(), from<typename T::value_type>(item));
    } else {  // std::array
      if (json.items.size() != made.size()) misfit("list of that size");
      for (std::size_t i = 0; i < made.size(); ++i)
        made[i] = from<typename T::value_type>(json.items[i]);
    }
    return made;
  } else if constexpr (Tupled<T>) {
    return tuple_from<T>(json, std::make_index_sequence<std::tuple_size_v<T>>());
  } else {  // std::optional
    if (json.kind == Json::null) return T();
    return T(from<typename T::value_type>(json));
  }
}

template <class T>
void write(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    out += value ? "true" : "false";
  } else if constexpr (std::is_same_v<T, char>) {
    write_text(out, &value, 1);
  } else if constexpr (std::is_convertible_v<T, const char*>) {
    const std::string text = value;
    write_text(out, text.data(), text.size());
  } else if constexpr (Text<T>) {
    write_text(out, value.data(), value.size());
  } else if constexpr (std::is_integral_v<T>) {
    out += std::to_string(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    write_real(out, static_cast<double>(value));
  } else if constexpr (Mapping<T>) {
    out += '{';
    for (const auto& [key, item] : value) {
      if (out.back() != '{') out += ',';
      if constexpr (std::is_integral_v<typename T::key_type>) {
        write(out, std::to_string(key));
      } else {
        write(out, key);
      }
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
  } else if constexpr (Tupled<T>) {
    out += '[';
    std::apply(
        [&](const auto&... items) {
          bool first = true;
          ((out += first ? "" : ",", first = false, write(out, items)), ...);
        },
        value);
    out += ']';
  } else if (value) {  // std::optional
    write(out, *value);
  } else {
    out += "null";
  }
}

template <class R, class... A, std::size_t... I>
void call(std::string& out, R (*function)(A...), const Json& arguments, std::index_sequence<I...>) {
  if (arguments.items.size() != sizeof...(A)) misfit("fitting number of arguments");
  std::tuple<std::decay_t<A>...> values{from<std::decay_t<A>>(arguments.items[I])...};
  if constexpr (!std::is_void_v<R>) {
    write(out, std::decay_t<R>(function(static_cast<A&&>(std::get<I>(values))...)));
  } else {
    function(static_cast<A&&>(std::get<I>(values))...);
    if constexpr (sizeof...(A) > 0) {
      write(out, std::get<0>(values));  // changed in place
    } else {
      out += "null";
    }
  }
}
template <class R, class... A>
void call(std::string& out, R (*function)(A...), const Json& arguments) {
  call(out, function, arguments, std::index_sequence_for<A...>());
}

}  // namespace proctor_harness

int main() {
  return proctor_harness::run([](std::string& out, const proctor_harness::Json& arguments) {
    proctor_harness::call(out, PROCTOR_ENTRY_POINT, arguments);
  });
}

#else  // the half that is compiled once

}  // namespace proctor_harness

#include <cxxabi.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string_view>
#include <typeinfo>

namespace proctor_harness {

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
        made.keys.push_back(std::move(key));
        made.items.push_back(value());
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

void misfit(const char* wanted) {
  throw std::invalid_argument(std::string("the argument is no ") + wanted);
}

long long signed_in(const Json& json, long long least, long long most) {
  char* end = nullptr;
  errno = 0;
  const long long value = std::strtoll(json.word.c_str(), &end, 10);
  if (json.kind != Json::number || *end != '\0' || errno != 0 || value < least || value > most)
    misfit("integer in range");
  return value;
}

unsigned long long unsigned_in(const Json& json, unsigned long long most) {
  char* end = nullptr;
  errno = 0;
  const unsigned long long value = std::strtoull(json.word.c_str(), &end, 10);
  const bool negative = !json.word.empty() && json.word[0] == '-';
  if (json.kind != Json::number || negative || *end != '\0' || errno != 0 || value > most)
    misfit("integer in range");
  return value;
}

double real_of(const Json& json) {
  if (json.kind != Json::number) misfit("number");
  return std::strtod(json.word.c_str(), nullptr);
}

void write_text(std::string& out, const char* text, std::size_t size) {
  out += '"';
  for (const unsigned char c : std::string_view(text, size)) {
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

void write_real(std::string& out, double value) {
  char text[64];
  std::snprintf(text, sizeof text, std::isfinite(value) ? "%.17g" : "{\"not json\":\"%g\"}", value);
  out += text;
}

int run(void (*call)(std::string& out, const Json& arguments)) {
  std::string given;
  char block[1 << 14];
  for (ssize_t n; (n = read(0, block, sizeof block)) > 0;) given.append(block, std::size_t(n));
  const int result = dup(1);
  const int nothing = open("/dev/null", O_WRONLY);
  dup2(nothing, 1);
  std::string out = "=";
  try {
    const Json arguments = Reader{given}.value();
    call(out, arguments);
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

#endif
