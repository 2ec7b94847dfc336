// SPDX-License-Identifier: Apache-2.0
#include "comm/comm_queue.h"

#include <chrono>
#include <utility>

#include "comm/trace.h"
#include "core/error.h"

namespace finescale {

CommQueue::CommQueue(CommMonitor* monitor)
    : monitor_(monitor), thread_([this](const std::stop_token& stop) { carry_out(stop); }) {}

CommQueue::~CommQueue() {
  thread_.request_stop();
  thread_.join();
}

CommQueue::Ticket CommQueue::enqueue(std::function<void()> closure) {
  const std::scoped_lock lock(mutex_);
  waiting_.push_back(std::move(closure));
  added_.notify_one();
  return ++num_enqueued_;
}

void CommQueue::wait(Ticket ticket) {
  std::unique_lock lock(mutex_);
  FS_CHECK(ticket <= num_enqueued_, "a ticket that was never given");
  if (num_done_ < ticket) {
    const auto begin = std::chrono::steady_clock::now();
    finished_.wait(lock, [&] { return num_done_ >= ticket; });
    if (Trace* const trace = monitor_ == nullptr ? nullptr : monitor_->trace(); trace != nullptr) {
      trace->add_wait("wait for queue", static_cast<std::int64_t>(ticket), begin,
                      std::chrono::steady_clock::now());
    }
  }
  if (ticket >= failed_) {
    std::rethrow_exception(error_);
  }
}

void CommQueue::wait_all() {
  Ticket newest = 0;
  {
    const std::scoped_lock lock(mutex_);
    newest = num_enqueued_;
  }
  wait(newest);
}

void CommQueue::carry_out(const std::stop_token& stop) {
  if (Trace* const trace = monitor_ == nullptr ? nullptr : monitor_->trace(); trace != nullptr) {
    trace->name_thread("comm queue");
  }
  std::unique_lock lock(mutex_);
  while (added_.wait(lock, stop, [&] { return !waiting_.empty(); }) && !stop.stop_requested()) {
    const std::function<void()> closure = std::move(waiting_.front());
    waiting_.pop_front();
    std::exception_ptr error;
    if (!error_) {
      lock.unlock();
      try {
        closure();
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
    }
    ++num_done_;
    if (error) {
      error_ = error;
      failed_ = num_done_;
    }
    finished_.notify_all();
  }
}

}  // namespace finescale
