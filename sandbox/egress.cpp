// The network of a run that may reach some hosts: a listener on the guest's own loopback, which the
// slot makes and hands to us, and the proxy behind it.
#include "sandbox/pool.h"

namespace proctor {

Status Core::check_network(const Limits& limits) const {
  if (limits.network.empty() || world_ != World::reduced) return {};
  return missing(
      "network: allow: needs a network namespace of the program's own, and namespaces are refused "
      "here; proctor doctor says what can be done about it");
}

Async<Status> Core::open_network(SlotRef slot, Limits limits) {
  if (limits.network.empty()) co_return Status();
  if (!outside_) {
    auto outside = std::make_shared<Outside>(context_, config_.look_up);
    if (auto started = outside->look_ups.start(); !started) co_return started;
    outside_ = std::move(outside);
  }
  wire::Message listen;
  listen.kind = wire::Kind::listen;
  if (Status made = co_await ask_slot(slot, listen); !made) co_return made;
  auto proxy = std::make_shared<Proxy>(outside_, limits.network, limits.network_bytes);
  if (auto opened = proxy->open(std::move(slot->listener)); !opened) co_return opened;
  slot->proxy = std::move(proxy);
  co_return Status();
}

}  // namespace proctor
