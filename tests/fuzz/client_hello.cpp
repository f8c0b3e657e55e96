// First bytes of a tunnel: whatever they are, a part of them is never read as something else than
// the whole, but for "more".
#include "sandbox/client_hello.h"

#include <cstdlib>
#include <iostream>

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using proctor::FirstBytes;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const FirstBytes whole = proctor::look_at(bytes);
  if (whole.server_name.size() > size) std::abort();
  const FirstBytes half = proctor::look_at(bytes.substr(0, size / 2));
  const bool same = half.kind == whole.kind && half.server_name == whole.server_name;
  if (half.kind != FirstBytes::Kind::more && !same) {
    std::cerr << "what was decided has changed\n";
    std::abort();
  }
  return 0;
}
