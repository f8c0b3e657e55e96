// TLS over a non-blocking socket, for the HTTP client. OpenSSL reads and writes the socket itself,
// so a waiting connection holds no buffers of ours; who waits, and for how long, is the caller's.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "runtime/core/result.h"

namespace proctor {

struct TlsContextFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using TlsContext = std::unique_ptr<SSL_CTX, TlsContextFree>;

// Trusts `ca_file` (PEM), or the system's bundle when it is "". `bad_input` when it cannot be read.
Result<TlsContext> make_tls_context(const std::string& ca_file);

// What one non-blocking step came to.
struct IoStep {
  enum class State { done, want_read, want_write, end, failed };
  State state = State::done;
  std::size_t bytes = 0;
  std::string error;  // when failed
};

class TlsSession {
 public:
  // `host` is checked against the certificate, and sent as SNI unless it is an address.
  TlsSession(SSL_CTX* context, int fd, const std::string& host);
  ~TlsSession() { SSL_free(ssl_); }
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  IoStep handshake();
  IoStep read(void* data, std::size_t size);
  IoStep write(const void* data, std::size_t size);
  // After a failed handshake: why the certificate was refused; "" when that was not the reason.
  std::string refused_certificate() const;

 private:
  IoStep step(int result, const char* doing);
  SSL* ssl_;
};

}  // namespace proctor
