// The key of a question.
#include "runtime/core/once.h"

#include <openssl/evp.h>

namespace proctor {

std::string once_detail::key_of(std::string_view question) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  PROCTOR_CHECK(
      EVP_Digest(question.data(), question.size(), digest, &size, EVP_sha256(), nullptr) == 1);
  return {reinterpret_cast<const char*>(digest), size};
}

}  // namespace proctor
