// SPDX-License-Identifier: Apache-2.0
// One thread that carries out closures in order: communication that goes on while its owner
// computes. Any thread may enqueue and wait.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <thread>

#include "comm/monitor.h"

namespace finescale {

class CommQueue {
 public:
  using Ticket = std::uint64_t;  // the first closure has 1

  // A monitor whose world is traced also shows this thread and the waits for it.
  explicit CommQueue(CommMonitor* monitor = nullptr);
  // Waits for the closure in progress and drops those that have not begun: when an error ends this
  // rank, others may never meet them. So wait_all() comes first where they matter.
  ~CommQueue();
  CommQueue(const CommQueue&) = delete;
  CommQueue& operator=(const CommQueue&) = delete;

  // After a closure has thrown, none behind it is carried out: the ranks no longer agree.
  Ticket enqueue(std::function<void()> closure);
  // Until this closure and all before it are done. Throws what a closure up to it threw, every
  // time.
  void wait(Ticket ticket);
  void wait_all();

 private:
  void carry_out(const std::stop_token& stop);

  CommMonitor* monitor_;
  std::mutex mutex_;
  std::condition_variable_any added_;
  std::condition_variable finished_;
  std::deque<std::function<void()>> waiting_;
  Ticket num_enqueued_ = 0;
  Ticket num_done_ = 0;
  Ticket failed_ = std::numeric_limits<Ticket>::max();  // the closure that threw
  std::exception_ptr error_;
  std::jthread thread_;  // last: it uses the members above
};

}  // namespace finescale
