// Fuzzes the chat format react.
#include "tests/fuzz/format_fuzzer.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  return proctor::fuzz::check_format("react", data, size);
}
