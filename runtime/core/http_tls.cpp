// OpenSSL behind TlsSession.
//
// Blind spot: certificates are not checked against revocation lists.
#include "runtime/core/http_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace proctor {
namespace {

// OpenSSL's own socket BIO writes without MSG_NOSIGNAL: a closed peer would kill the process.
int send_quietly(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent = ::send(static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio))),
                              data, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int receive(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t got = ::recv(static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio))),
                             data, static_cast<std::size_t>(size), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* quiet_socket() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "quiet socket");
    BIO_meth_set_write(made, send_quietly);
    BIO_meth_set_read(made, receive);
    BIO_meth_set_ctrl(made, control);
    return made;
  }();
  return method;
}

bool is_address(const std::string& host) {
  unsigned char buffer[sizeof(in6_addr)];
  return inet_pton(AF_INET, host.c_str(), buffer) == 1 ||
         inet_pton(AF_INET6, host.c_str(), buffer) == 1;
}

std::string reason_of_last_error(const char* otherwise) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code ? ERR_reason_error_string(code) : nullptr;
  return reason ? reason : otherwise;
}

}  // namespace

Result<TlsContext> make_tls_context(const std::string& ca_file) {
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  PROCTOR_CHECK(context);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // A body has its own framing (length or chunks), which catches a connection that was cut.
  SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  ERR_clear_error();
  if (!ca_file.empty() && ::access(ca_file.c_str(), R_OK) != 0)
    return bad_input("ca_file " + ca_file + ": " + std::strerror(errno));
  if (ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context.get());
  } else if (SSL_CTX_load_verify_file(context.get(), ca_file.c_str()) != 1) {
    return bad_input("ca_file " + ca_file + ": cannot be read as PEM certificates (" +
                     reason_of_last_error("no certificate in it") + ")");
  }
  ERR_clear_error();
  return context;
}

TlsSession::TlsSession(SSL_CTX* context, int fd, const std::string& host) : ssl_(SSL_new(context)) {
  PROCTOR_CHECK(ssl_);
  BIO* bio = BIO_new(quiet_socket());
  // NOLINTNEXTLINE(performance-no-int-to-ptr): what OpenSSL keeps for us is a pointer.
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)));
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  if (is_address(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host.c_str());
  } else {
    SSL_set1_host(ssl_, host.c_str());
    SSL_set_tlsext_host_name(ssl_, host.c_str());
  }
}

IoStep TlsSession::step(int result, const char* doing) {
  IoStep step;
  if (result > 0) {
    step.bytes = static_cast<std::size_t>(result);
    return step;
  }
  const int system_error = errno;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      step.state = IoStep::State::want_read;
      break;
    case SSL_ERROR_WANT_WRITE:
      step.state = IoStep::State::want_write;
      break;
    case SSL_ERROR_ZERO_RETURN:
      step.state = IoStep::State::end;
      break;
    case SSL_ERROR_SYSCALL:
      step.state = IoStep::State::failed;
      step.error = system_error ? std::strerror(system_error) : "the connection was closed";
      break;
    default:
      step.state = IoStep::State::failed;
      step.error = reason_of_last_error(doing);
  }
  ERR_clear_error();
  return step;
}

IoStep TlsSession::handshake() {
  ERR_clear_error();
  return step(SSL_connect(ssl_), "the handshake failed");
}

IoStep TlsSession::read(void* data, std::size_t size) {
  ERR_clear_error();
  return step(SSL_read(ssl_, data, static_cast<int>(size)), "reading failed");
}

IoStep TlsSession::write(const void* data, std::size_t size) {
  ERR_clear_error();
  return step(SSL_write(ssl_, data, static_cast<int>(std::min<std::size_t>(size, 1U << 30))),
              "writing failed");
}

std::string TlsSession::refused_certificate() const {
  const long verdict = SSL_get_verify_result(ssl_);
  if (verdict == X509_V_OK) return "";
  std::string why = X509_verify_cert_error_string(verdict);
  switch (verdict) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return why + " (it names other hosts: write one of them into the URL)";
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return why;
    default:
      return why + " (ca_file names the CA to trust)";
  }
}

}  // namespace proctor
