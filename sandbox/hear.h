// What the parent takes from what it is told: by a slot, by whoever started a guest, and by a live
// session itself, whose word counts for little.
#pragma once

#include "sandbox/pool.h"

namespace proctor {

// The slot's own answers; false where the message is about a guest, or about nothing.
bool hear(Slot& slot, wire::Packet& packet);
void hear(Guest& guest, const wire::Message& message);

// What a session may say just now. In between cells it would only ask for a new account.
struct Hearing {
  bool in_cell = false, forking = false;
  bool is_fork = false;  // nobody else tells that it has ended
};
void hear_session(Guest& guest, const wire::Message& message, Hearing hearing);

}  // namespace proctor
