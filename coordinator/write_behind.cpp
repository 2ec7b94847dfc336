// SPDX-License-Identifier: Apache-2.0
#include "coordinator/write_behind.h"

#include <utility>

#include "core/stopwatch.h"

namespace finescale {

namespace {

constexpr std::size_t kBatch = 512;        // pieces
constexpr std::size_t kMostBatches = 256;  // that wait

}  // namespace

WriteBehind::WriteBehind() : thread_([this](const std::stop_token& stop) { run(stop); }) {}

WriteBehind::~WriteBehind() {
  finish();
}

void WriteBehind::add(Work work) {
  gathered_.push_back(std::move(work));
  if (gathered_.size() == kBatch) {
    hand_over();
    throw_error();
  }
}

void WriteBehind::throw_error() {
  const std::lock_guard lock(mutex_);
  if (error_) {
    std::rethrow_exception(error_);
  }
}

void WriteBehind::hand_over() {
  if (gathered_.empty()) {
    return;
  }
  {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return batches_.size() < kMostBatches; });
    batches_.push_back(std::exchange(gathered_, {}));
  }
  given_.notify_one();
  gathered_.reserve(kBatch);
}

void WriteBehind::finish() {
  hand_over();
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return batches_.empty() && !is_working_; });
}

void WriteBehind::settle() {
  finish();
  throw_error();
}

double WriteBehind::busy_seconds() {
  const std::lock_guard lock(mutex_);
  return busy_seconds_;
}

void WriteBehind::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (given_.wait(lock, stop, [this] { return !batches_.empty(); })) {
    Batch batch = std::move(batches_.front());
    batches_.pop_front();
    is_working_ = true;
    const bool has_failed = error_ != nullptr;
    lock.unlock();
    const Stopwatch watch;
    std::exception_ptr error;
    if (!has_failed) {
      error = work_off(batch);
    }
    batch.clear();
    lock.lock();
    busy_seconds_ += watch.seconds();
    error_ = has_failed ? error_ : error;
    is_working_ = false;
    done_.notify_one();
  }
}

std::exception_ptr WriteBehind::work_off(const Batch& batch) {
  try {
    for (const Work& work : batch) {
      work();
    }
  } catch (...) {  // for whoever settles
    return std::current_exception();
  }
  return nullptr;
}

}  // namespace finescale
