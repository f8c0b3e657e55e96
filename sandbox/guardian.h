// The processes between the parent and its slots.
#pragma once

namespace proctor {

// Takes over the calling process, a fresh fork of the parent with one thread; `socket` leads there.
[[noreturn]] void become_guardian(int socket);

}  // namespace proctor
