// From messages to what is known of slots and guests. Blind spot: descriptors are taken for what
// their sender must have sent; slots and zygotes are trusted, and sessions send none that are kept.
#include "sandbox/hear.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace proctor {

using wire::Kind;
using wire::Message;
using wire::Packet;

namespace {

void hear_prepared(Slot& slot, Packet& packet) {
  int at = 0;
  slot.box = OwnedFd(packet.take(at++));
  slot.init = packet.message.flags ? OwnedFd(packet.take(at++)) : OwnedFd();
  slot.init_pid = static_cast<int>(packet.message.value);
  slot.ruleset = OwnedFd(packet.take(at));
  slot.prepared = packet.message.id;
}

}  // namespace

bool hear(Slot& slot, Packet& packet) {
  const Message& message = packet.message;
  switch (message.kind) {
    case Kind::ready:
      slot.process = OwnedFd(packet.take(0));
      slot.pid = static_cast<int>(message.value);
      return true;
    case Kind::prepared:
      hear_prepared(slot, packet);
      return true;
    case Kind::resized:
      slot.resized = message.id;
      return true;
    case Kind::killed:
      slot.killed = message.id;
      return true;
    case Kind::allowed:
      slot.allowed = message.id;
      return true;
    case Kind::adopted:
      slot.adopted = message.id;
      slot.adopted_box = OwnedFd(packet.take(0));
      return true;
    case Kind::listening:
      slot.listening = message.id;
      slot.listener = OwnedFd(packet.take(0));
      return true;
    case Kind::failed:
      slot.failed = message.id;
      slot.stage = message.stage;
      slot.error = message.error;
      return true;
    default:
      return false;
  }
}

void hear(Guest& guest, const Message& message) {
  switch (message.kind) {
    case Kind::spawned:
      guest.pid = guest.main_pid = static_cast<int>(message.value);
      if (guest.channel)
        guest.process = OwnedFd(static_cast<int>(syscall(SYS_pidfd_open, guest.pid, 0)));
      break;
    case Kind::exited:
      guest.exited = true;
      guest.status = static_cast<int>(message.value);
      guest.cpu = std::chrono::microseconds(message.cpu_us);
      guest.peak_memory = message.peak_kib * 1024;
      break;
    case Kind::failed:
      guest.failed = true;
      guest.stage = message.stage;
      guest.error = message.error;
      break;
    default:
      break;
  }
}

void hear_session(Guest& guest, const Message& message, Hearing hearing) {
  if (message.kind == Kind::done && hearing.in_cell) {
    guest.raised = message.value & 1;
    guest.drew = message.value & 2;
    ++guest.cells_done;
  } else if (message.kind == Kind::forked && hearing.forking) {
    guest.fork_error = static_cast<int>(message.value);
  } else if (message.kind == Kind::resumed && hearing.forking) {
    guest.resumed = true;
  } else if (message.kind == Kind::exited && hearing.is_fork) {
    guest.status = static_cast<int>(message.value);
    guest.exited = true;
  }
}

}  // namespace proctor
