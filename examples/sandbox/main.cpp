// The sandbox as a library: a program under limits, and a live session that is forked.
#include <iostream>

#include "runtime/core/event_loop.h"
#include "sandbox/sandbox.h"

using namespace proctor;

Async<Result<int>> run(SandboxPool* pool) {
  ExecutionRequest request;
  request.code = "print(sum(range(10)))";
  request.limits.memory = 128_MiB;
  auto ran = co_await pool->run(std::move(request));
  if (!ran) co_return std::move(ran).error();
  std::cout << to_string(ran->ending) << ": " << ran->out;

  auto session = co_await pool->open_session(Language::python, Limits{});
  if (!session) co_return std::move(session).error();
  (void)co_await (*session)->run("x = [1, 2, 3]", Limits{});
  auto fork = co_await (*session)->fork();
  if (!fork) co_return std::move(fork).error();
  (void)co_await (*fork)->run("x.append(4)", Limits{});
  auto here = co_await (*session)->run("x", Limits{});
  auto there = co_await (*fork)->run("x", Limits{});
  if (here && there) std::cout << here->out << there->out;
  co_return 0;
}

int main() {
  if (auto started = start_launcher(); !started) return 3;  // before there are threads
  asio::io_context loop;
  auto pool = make_sandbox_pool({.slots = 2});
  auto ended = pool ? run_to_end(loop, run(pool->get())) : Result<int>(pool.error());
  if (!ended) std::cerr << ended.error().message << "\n";
  return ended ? *ended : 1;
}
