// The event stream parser: however a stream is cut into pieces, the same events come out.
#include "runtime/core/sse.h"

#include <cstdlib>
#include <iostream>
#include <vector>

namespace {

std::vector<std::string> events_of(std::string_view text, std::size_t piece) {
  proctor::SseParser parser(4096);
  std::vector<std::string> events;
  const proctor::SseParser::Event keep = [&events](std::string_view name,
                                                   std::string_view data) -> proctor::Status {
    events.emplace_back(name);
    events.emplace_back(data);
    return {};
  };
  while (!text.empty()) {
    if (!parser.take(text.substr(0, piece), keep)) {
      events.emplace_back("(refused)");
      break;
    }
    text.remove_prefix(std::min(piece, text.size()));
  }
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = events_of(text, text.size() + 1);
  const auto cut = events_of(text, 1 + data[0] % 16);
  if (whole != cut) {
    std::cerr << "pieces change the events\n";
    std::abort();
  }
  return 0;
}
