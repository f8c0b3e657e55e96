// The store's one writing thread: takes changes from any executor, commits many at a time, and
// resumes whoever waits on the executor they wait on.
//
// Cancelling the wait does not cancel the write. The queue is bounded by the callers, each of which
// waits for its change; beyond a number no sane run reaches, a change is refused.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/core/async.h"
#include "runtime/core/threads.h"
#include "runtime/store.h"
#include "runtime/store_changes.h"

namespace proctor {

class StoreWriter {
 public:
  static Result<std::unique_ptr<StoreWriter>> start(std::unique_ptr<ChangeApplier> applier);
  StoreWriter(const StoreWriter&) = delete;
  StoreWriter& operator=(const StoreWriter&) = delete;
  ~StoreWriter() { close(); }

  Async<Status> write(Change change);
  StoreUsage usage() const;
  // Writes what is queued and ends the thread; changes after that are refused.
  void close();

  // Somebody waiting for a change; completes once, from whichever side comes first.
  class Waiter {
   public:
    virtual ~Waiter() = default;
    virtual void complete(Status status) = 0;
  };
  // For the initiation in write().
  void enqueue(Change change, const std::shared_ptr<Waiter>& waiter);

 private:
  explicit StoreWriter(std::unique_ptr<ChangeApplier> applier) : applier_(std::move(applier)) {}
  void work();
  void commit(std::vector<Change> changes, std::vector<std::shared_ptr<Waiter>> waiters);

  std::unique_ptr<ChangeApplier> applier_;  // used by the thread only
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Change> queued_;
  std::vector<std::shared_ptr<Waiter>> waiting_;
  StoreUsage usage_;
  bool closing_ = false;
  Threads thread_;
};

}  // namespace proctor
