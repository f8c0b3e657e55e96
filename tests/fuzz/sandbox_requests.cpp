// What the sandbox's guardian, launcher, slots and Pythons are asked: any bytes with any number of
// descriptors are a request or refused, and nothing is read beyond them.
#include <string_view>

#include "sandbox/child.h"
#include "sandbox/plan.h"
#include "tests/fuzz/datagram.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace proctor;
  static Datagrams datagrams;
  static wire::Packet packet;
  static child::Spawn spawn;
  if (size == 0) return 0;
  const int before = lowest_free();
  if (datagrams.pass(data + 1, size - 1, data[0] % 65, packet)) {
    const std::string_view text{packet.text, packet.message.text_size};
    if (const auto plan = read_plan(text)) {
      const auto again = read_plan(write_plan(*plan));
      if (!again || write_plan(*again) != write_plan(*plan))
        does_not_hold("a plan is read as written");
    }
    if (child::read_spawn(packet, spawn)) {
      std::size_t length = std::string_view(spawn.directory).size();
      const auto add = [&](char** strings, std::uint32_t n) {
        for (std::uint32_t i = 0; i < n; ++i) length += 1 + std::string_view(strings[i]).size();
        if (strings[n]) does_not_hold("a list of strings has an end");
      };
      add(spawn.arguments, packet.message.n_arguments);
      add(spawn.environment, packet.message.n_environment);
      if (length >= text.size()) does_not_hold("strings lie within their text");
      for (std::uint32_t i = 0; i < packet.message.n_cgroups; ++i)
        if (fcntl(spawn.cgroups[i], F_GETFD) < 0) does_not_hold("a group's file is open");
      if (spawn.ruleset >= 0 && fcntl(spawn.ruleset, F_GETFD) < 0)
        does_not_hold("a ruleset is open");
    }
    packet.close_fds();
  }
  if (lowest_free() != before) does_not_hold("nothing is left open");
  return 0;
}
