// The key of a question.
#include "supervisors/once.h"

#include <openssl/evp.h>

namespace proctor {

std::string content_key(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  PROCTOR_CHECK(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr) == 1);
  return {reinterpret_cast<const char*>(digest), size};
}

}  // namespace proctor
