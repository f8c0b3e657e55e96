// What is known of a live session; shared by its coroutines, and it may outlive the session by a
// moment. Lives on the pool's thread but for `alive`.
#pragma once

#include "sandbox/pool.h"

namespace proctor {

// A session's slot, kept for as long as the session or a fork that stems from it needs the
// namespaces in it.
struct Core::Home {
  Core* core;
  SlotRef slot;
  std::shared_ptr<Home> origin;

  Home(Core* owner, SlotRef taken, std::shared_ptr<Home> of)
      : core(owner), slot(std::move(taken)), origin(std::move(of)) {}
  Home(const Home&) = delete;
  Home& operator=(const Home&) = delete;
  ~Home();
};

struct Core::Live {
  Live(std::shared_ptr<Home> its_home, GuestRef its_guest, LiveSettings its_settings,
       WatchedFd its_channel)
      : home(std::move(its_home)),
        slot(home->slot),
        guest(std::move(its_guest)),
        settings(its_settings),
        channel(std::move(its_channel)) {}

  TreeUsage usage();

  std::shared_ptr<Home> home;  // none once it is let go
  const SlotRef slot;
  const GuestRef guest;
  const LiveSettings settings;
  WatchedFd channel;
  std::shared_ptr<TreeWatch> tree;
  std::atomic<bool> alive = true;
  // What ended it while nobody waited for it.
  Ending ended_by = Ending::sandbox_error;
  std::string why_ended = "the session is over";
  bool in_cell = false, forking = false, closed = false;
  int cells_begun = 0;
  SteadyTime last_used = std::chrono::steady_clock::now();
};

}  // namespace proctor
