// mock_model_server: the mock model server as a program. Prints "listening on 127.0.0.1:PORT".
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "runtime/app/mock_server.h"

int main(int argc, char** argv) {
  proctor::MockOptions options;
  int delay_ms = 0;
  CLI::App app("A model server that answers canned turns, for tests and benchmarks");
  app.add_option("--port", options.port, "0: any free one");
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 64));
  app.add_option("--delay-ms", delay_ms, "before each generation");
  app.add_option("--model", options.model);
  app.add_option("--tool-turns", options.tool_turns, "tool calls before the answer");
  app.add_option("--tool", options.tool);
  app.add_option("--arguments", options.arguments, "of the tool call, JSON");
  app.add_option("--answer", options.answer);
  app.add_flag("--hermes", options.hermes, "tool calls as <tool_call> text");
  app.add_flag("--function-call", options.function_call, "tool calls in OpenAI's first form");
  app.add_flag("--refusal", options.refusal, "the answer as a refusal");
  app.add_flag("--token-ids", options.token_ids, "as vLLM with return_token_ids");
  app.add_option("--fault", options.fault)
      ->check(CLI::IsMember({"none", "401", "403", "404", "429", "500", "garbage", "half_stream",
                             "half_body", "close", "silent", "context", "bad_arguments",
                             "stream_error", "stream_error_line", "stream_error_event"}));
  app.add_option("--context", options.context, "tokens that fit; 0: any number");
  app.add_option("--no-completions", options.no_completions, "status of /v1/completions");
  app.add_option("--refuses", options.refuses, "a field of requests to answer 400 to");
  app.add_option("--fault-times", options.fault_times, "this many generations fail; -1: all");
  app.add_option("--retry-after", options.retry_after, "seconds, with --fault 429");
  app.add_option("--key", options.key, "an API key to insist on");
  app.add_option("--tls-certificate", options.tls_certificate, "PEM");
  app.add_option("--tls-key", options.tls_key, "PEM");
  CLI11_PARSE(app, argc, argv);
  options.delay = std::chrono::milliseconds(delay_ms);

  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  try {
    proctor::MockServer server(options);
    std::printf("listening on 127.0.0.1:%d\n", server.port());
    std::fflush(stdout);
    int signal = 0;
    sigwait(&ends, &signal);
    std::fprintf(stderr, "%zu connections, %zu generations, at most %zu at once\n",
                 server.connections(), server.generations(), server.most_at_once());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mock_model_server: %s\n", error.what());
    return 1;
  }
  return 0;
}
