// Answers of web servers: any bytes in any pieces give a reply or an Error, and no more body than
// was allowed.
#include <cstdlib>
#include <iostream>

#include "runtime/core/http_parser.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  constexpr std::size_t kMostBody = 512;
  proctor::HttpReplyParser parser(kMostBody, nullptr);
  std::string rest;
  const std::size_t piece = size > 0 ? 1 + data[0] % 64 : 1;
  for (std::size_t at = 1; at < size && !parser.is_done(); at += piece) {
    rest.append(reinterpret_cast<const char*>(data) + at, std::min(piece, size - at));
    auto taken = parser.take(rest);
    if (!taken) return 0;
    rest.erase(0, *taken);
  }
  if (parser.end() && parser.reply.body.size() > kMostBody) {
    std::cerr << "more body than allowed\n";
    std::abort();
  }
  return 0;
}
