// model_client_bench: what one request to a model server costs this process, and what waiting
// costs.
//
//   mock_model_server & model_client_bench --url http://127.0.0.1:PORT/v1 --in-flight 512
//
// Prints CPU (user + system) and wall time a request, and resident memory a waiting one. The
// server's own CPU is not in it.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <fstream>

#include "policies/model.h"
#include "tests/bench/cpu_time.h"

namespace {

using namespace proctor;

double resident_kib() {
  std::ifstream statm("/proc/self/statm");
  long total = 0, resident = 0;
  statm >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1024;
}

struct Totals {
  int answered = 0;
  int failed = 0;
  std::string error;
};

GenerateRequest question(int size) {
  GenerateRequest request;
  request.messages.push_back({.role = "system", .content = "You are a careful assistant."});
  request.messages.push_back(
      {.role = "user", .content = json::string(std::string(static_cast<std::size_t>(size), 'x'))});
  return request;
}

Async<void> ask(ModelRef model, int times, int size, Totals* totals) {
  for (int i = 0; i < times; ++i) {
    auto request = question(size);
    auto turn = co_await model->generate(std::move(request));
    ++(turn ? totals->answered : totals->failed);
    if (!turn) totals->error = turn.error().message;
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::string url;
  int in_flight = 512, times = 20, size = 500;
  bool stream = false;
  CLI::App app("CPU and memory of requests to a model server");
  app.add_option("--url", url, "http://127.0.0.1:PORT/v1")->required();
  app.add_option("--in-flight", in_flight);
  app.add_option("--times", times, "requests one after another, each");
  app.add_option("--size", size, "characters of the question");
  app.add_flag("--stream", stream);
  CLI11_PARSE(app, argc, argv);

  auto model = make_model({"openai:" + url, {{"max_in_flight", in_flight}, {"stream", stream}}});
  if (!model) {
    std::fprintf(stderr, "%s\n", model.error().message.c_str());
    return 2;
  }
  asio::io_context context(1);
  Totals totals;
  const double resident_before = resident_kib();
  const double cpu_before = cpu_seconds();
  const auto started = std::chrono::steady_clock::now();
  for (int i = 0; i < in_flight; ++i)
    asio::co_spawn(asio::make_strand(context), ask(*model, times, size, &totals),
                   [](std::exception_ptr failure) {
                     if (failure) std::rethrow_exception(failure);
                   });
  double resident_most = 0;
  asio::steady_timer sampler(context);
  std::function<void()> sample = [&] {
    sampler.expires_after(100ms);
    sampler.async_wait([&](boost::system::error_code) {
      resident_most = std::max(resident_most, resident_kib());
      if (totals.answered + totals.failed < in_flight * times) sample();
    });
  };
  sample();
  context.run();
  const double wall =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const double cpu = cpu_seconds() - cpu_before;
  const double requests = static_cast<double>(in_flight) * times;
  std::printf(
      "%d answered, %d failed; %.1f us CPU a request, %.1f us wall; %.1f KiB a request in "
      "flight (resident %.1f MiB)\n",
      totals.answered, totals.failed, 1e6 * cpu / requests, 1e6 * wall / requests,
      (resident_most - resident_before) / in_flight, resident_most / 1024);
  if (totals.failed) std::printf("last failure: %s\n", totals.error.c_str());
  return totals.failed ? 1 : 0;
}
