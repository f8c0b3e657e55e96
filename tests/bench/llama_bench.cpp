// Tokens a second of the embedded model through policies/model.h: prompts, generation by sequences
// at once, and what the prefix cache saves.
//   build/release/tests/bench/llama_bench [SETTING=NUMBER]...      e.g. engines=1 threads=2
// Blind spot: wall time on a machine that does other work; the column of tokens a CPU second says
// what the model itself costs.
#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "policies/model.h"

namespace proctor {
namespace {

struct Spent {
  double wall = 0;
  double cpu = 0;
};

Spent now() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  const auto wall = std::chrono::steady_clock::now().time_since_epoch();
  return {std::chrono::duration<double>(wall).count(),
          seconds(used.ru_utime) + seconds(used.ru_stime)};
}

// Words of a fixed vocabulary, different for every salt.
std::string text(int words, int salt) {
  static const char* const vocabulary[] = {"river", "tall", "seven", "opens", "blue",  "engine",
                                           "after", "read", "north", "quick", "paper", "water"};
  std::string made = "Text " + std::to_string(salt) + ":";
  unsigned state = 12345U + static_cast<unsigned>(salt) * 7919U;
  for (int i = 0; i < words; ++i) {
    state = state * 1664525U + 1013904223U;
    made += std::string(" ") + vocabulary[(state >> 16) % 12];
  }
  return made;
}

GenerateRequest request(const std::string& prompt, int max_tokens, std::uint64_t seed) {
  Message user;
  user.role = "user";
  user.content = json::string(prompt);
  GenerateRequest made;
  made.messages = {user};
  made.sampling = {.temperature = 1.0, .seed = seed, .max_tokens = max_tokens};
  if (max_tokens > 1) made.grammar = "root ::= [^\\x00]*";  // no end before the limit is likely
  return made;
}

struct Sum {
  std::int64_t prompt = 0, cached = 0, sampled = 0;
  Spent spent;
};

Sum run(const ModelRef& model, std::vector<GenerateRequest> requests) {
  Sum sum;
  asio::io_context context;
  const Spent before = now();
  for (GenerateRequest& each : requests)
    asio::co_spawn(context, model->generate(std::move(each)),
                   [&](std::exception_ptr, Result<Generation> said) {
                     if (!said) throw std::runtime_error(said.error().message);
                     sum.prompt += said->prompt_tokens;
                     sum.cached += said->cached_tokens;
                     sum.sampled += said->completion_tokens;
                   });
  context.run();
  const Spent after = now();
  sum.spent = {after.wall - before.wall, after.cpu - before.cpu};
  return sum;
}

void print(const char* what, std::int64_t tokens, const Spent& spent,
           const std::string& note = "") {
  const auto count = static_cast<double>(tokens);
  std::printf("%-44s %7lld %9.1f %12.1f  %s\n", what, static_cast<long long>(tokens),
              count / spent.wall, count / spent.cpu, note.c_str());
  std::fflush(stdout);
}

void measure(const json::object& settings) {
  auto made = make_model({.uri = "llama:smollm2", .settings = settings});
  if (!made) throw std::runtime_error(made.error().message);
  const ModelRef model = *made;
  std::printf("%-44s %7s %9s %12s\n", "", "tokens", "tokens/s", "tokens/CPU s");

  for (const int at_once : {1, 4, 8, 16}) {
    std::vector<GenerateRequest> requests;
    const int each = at_once == 1 ? 48 : 24;
    for (int i = 0; i < at_once; ++i) requests.push_back(request("Go on: a", each, i));
    const Sum sum = run(model, std::move(requests));
    print(("generation, " + std::to_string(at_once) + " at once").c_str(), sum.sampled, sum.spent);
  }

  std::vector<GenerateRequest> different;
  for (int i = 0; i < 4; ++i) different.push_back(request(text(400, i), 1, 0));
  const Sum prompts = run(model, std::move(different));
  print("prompts, nothing shared", prompts.prompt - prompts.cached, prompts.spent);

  const std::string shared = text(500, 99);
  const auto tasks = [&](int first) {
    std::vector<GenerateRequest> requests;
    for (int i = 0; i < 16; ++i)
      requests.push_back(request(shared + text(30, 1000 + first + i), 24, i));
    return requests;
  };
  const Sum sharing = run(model, tasks(0));
  print("16 tasks behind one long prefix, 24 each", sharing.prompt + sharing.sampled, sharing.spent,
        std::to_string(sharing.cached) + " of " + std::to_string(sharing.prompt) +
            " prompt tokens from the cache");
  std::vector<GenerateRequest> alone;
  for (int i = 0; i < 4; ++i)
    alone.push_back(request(text(500, 200 + i) + text(30, 300 + i), 24, i));
  const Sum apart = run(model, std::move(alone));
  print("4 such tasks with prefixes of their own", apart.prompt + apart.sampled, apart.spent,
        "per task " + std::to_string(apart.spent.cpu / 4) + " CPU s, sharing " +
            std::to_string(sharing.spent.cpu / 16));
  model->shut_down();
}

}  // namespace
}  // namespace proctor

int main(int argc, char** argv) {
  try {
    boost::json::object settings;
    for (int i = 1; i < argc; ++i) {
      const std::string given = argv[i];
      const std::size_t equals = given.find('=');
      if (equals == std::string::npos) throw std::runtime_error("expected SETTING=NUMBER");
      settings[given.substr(0, equals)] = std::stoll(given.substr(equals + 1));
    }
    proctor::measure(settings);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "llama_bench: %s\n", error.what());
    return 2;
  }
}
