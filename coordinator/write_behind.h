// SPDX-License-Identifier: Apache-2.0
// Work that another thread does in the order in which it was given, some hundred pieces behind its
// giver, who is one thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace finescale {

class WriteBehind {
 public:
  using Work = std::function<void()>;

  WriteBehind();
  ~WriteBehind();  // once all of it is done; an error is lost
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  // Waits while very much of it is not done. After a piece that throws no other is done, and some
  // hundred calls later this throws it, too.
  void add(Work work);
  // Until all of it is done. Throws what a piece has thrown, at every call.
  void settle();
  void finish();  // as settle, and throws nothing
  // That the thread has worked; of what is settled.
  [[nodiscard]] double busy_seconds();

 private:
  using Batch = std::vector<Work>;

  void hand_over();    // what has gathered
  void throw_error();  // that of a piece
  void run(const std::stop_token& stop);
  [[nodiscard]] static std::exception_ptr work_off(const Batch& batch);

  Batch gathered_;  // of the giver: one wake-up of the thread for many pieces
  std::mutex mutex_;
  std::condition_variable_any given_;
  std::condition_variable done_;
  std::deque<Batch> batches_;
  bool is_working_ = false;
  double busy_seconds_ = 0;
  std::exception_ptr error_;
  std::jthread thread_;  // last: it uses the members above
};

}  // namespace finescale
