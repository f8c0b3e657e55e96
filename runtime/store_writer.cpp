// Group commit by time: the first change of a batch waits a moment for company. A commit costs the
// same for one turn as for a hundred, so a busy run pays it a few hundred times a second at most.
#include "runtime/store_writer.h"

#include <atomic>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <utility>

namespace proctor {
namespace {

constexpr auto kGather = 2ms;
constexpr std::size_t kFullBatch = 256;
constexpr std::size_t kMostQueued = 200'000;

template <class Handler>
class PostingWaiter final : public StoreWriter::Waiter,
                            public std::enable_shared_from_this<PostingWaiter<Handler>> {
 public:
  explicit PostingWaiter(Handler handler)
      : handler_(std::move(handler)),
        executor_(asio::get_associated_executor(handler_)),
        work_(asio::make_work_guard(executor_)) {}

  void complete(Status status) override { post({}, std::move(status)); }
  void cancel() { post(asio::error::operation_aborted, {}); }

 private:
  void post(boost::system::error_code error, Status status) {
    if (done_.exchange(true)) return;
    // Everything of the handler's is touched on its own executor only.
    asio::post(executor_,
               [self = this->shared_from_this(), error, status = std::move(status)]() mutable {
                 asio::get_associated_cancellation_slot(self->handler_).clear();
                 auto handler = std::move(self->handler_);
                 self->work_.reset();
                 self.reset();
                 std::move(handler)(error, std::move(status));
               });
  }

  Handler handler_;
  asio::associated_executor_t<Handler> executor_;
  asio::executor_work_guard<asio::associated_executor_t<Handler>> work_;
  std::atomic<bool> done_ = false;
};

struct Enqueue {
  StoreWriter* writer;
  Change change;

  template <class Handler>
  void operator()(Handler handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    auto waiter = std::make_shared<PostingWaiter<Handler>>(std::move(handler));
    if (slot.is_connected())
      slot.assign([weak = std::weak_ptr(waiter)](asio::cancellation_type) {
        if (auto waiting = weak.lock()) waiting->cancel();
      });
    writer->enqueue(std::move(change), waiter);
  }
};

}  // namespace

Result<std::unique_ptr<StoreWriter>> StoreWriter::start(std::unique_ptr<ChangeApplier> applier) {
  std::unique_ptr<StoreWriter> writer(new StoreWriter(std::move(applier)));
  auto started = writer->thread_.start(1, [raw = writer.get()] { raw->work(); });
  if (!started) return std::move(started).error();
  return writer;
}

Async<Status> StoreWriter::write(Change change) {
  Enqueue enqueue{this, std::move(change)};
  const auto& token = asio::use_awaitable;
  Status status = co_await asio::async_initiate<const asio::use_awaitable_t<>,
                                                void(boost::system::error_code, Status)>(
      std::move(enqueue), token);
  co_return status;
}

void StoreWriter::enqueue(Change change, const std::shared_ptr<Waiter>& waiter) {
  std::size_t queued = 0;
  bool closed = false, refused = false;
  {
    std::lock_guard lock(mutex_);
    closed = closing_;
    refused = closed || queued_.size() >= kMostQueued;
    if (!refused) {
      queued_.push_back(std::move(change));
      waiting_.push_back(waiter);
      queued = queued_.size();
      usage_.highest_queued = std::max(usage_.highest_queued, queued);
    }
  }
  // Between the first and a full batch the thread sleeps out its moment undisturbed.
  if (queued == 1 || queued == kFullBatch) wake_.notify_one();
  if (refused)
    waiter->complete(
        internal_error(closed ? "the store is closed" : "the store has too many writes waiting"));
}

void StoreWriter::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return closing_ || !queued_.empty(); });
    if (queued_.empty()) return;
    wake_.wait_for(lock, kGather, [this] { return closing_ || queued_.size() >= kFullBatch; });
    auto changes = std::exchange(queued_, {});
    auto waiters = std::exchange(waiting_, {});
    lock.unlock();
    commit(std::move(changes), std::move(waiters));
    lock.lock();
  }
}

void StoreWriter::commit(std::vector<Change> changes,
                         std::vector<std::shared_ptr<Waiter>> waiters) {
  // A long queue is cut, so that no one waits for a transaction without end.
  for (std::size_t from = 0; from < changes.size(); from += kFullBatch) {
    const std::size_t count = std::min(kFullBatch, changes.size() - from);
    const auto started = std::chrono::steady_clock::now();
    auto statuses = applier_->apply(std::span(changes).subspan(from, count));
    {
      std::lock_guard lock(mutex_);
      ++usage_.commits;
      usage_.rows = applier_->rows_written();
      usage_.busy += std::chrono::steady_clock::now() - started;
    }
    for (std::size_t i = 0; i < count; ++i) waiters[from + i]->complete(std::move(statuses[i]));
  }
}

StoreUsage StoreWriter::usage() const {
  std::lock_guard lock(mutex_);
  StoreUsage usage = usage_;
  usage.queued = queued_.size();
  return usage;
}

void StoreWriter::close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  thread_.join();
  applier_.reset();
}

}  // namespace proctor
