// SPDX-License-Identifier: Apache-2.0
// main() of every MPI test binary: MPI for the whole process, and a watchdog that names the test
// that hangs. Include it in one source of the binary.
#pragma once

#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "comm/mpi/mpi_group.h"

namespace finescale {

// Aborts the process when one test lasts longer than this; mpirun then ends the other ranks.
class HangWatchdog final : public testing::EmptyTestEventListener {
 public:
  explicit HangWatchdog(int rank, int seconds = 60)
      : rank_(rank),
        seconds_(seconds),
        thread_([this](const std::stop_token& stop) { watch(stop); }) {}
  void OnTestStart(const testing::TestInfo& info) override {
    note(std::string(info.test_suite_name()) + "." + info.name());
  }
  void OnTestEnd(const testing::TestInfo& /*info*/) override { note({}); }

 private:
  void note(std::string name) {
    const std::scoped_lock lock(mutex_);
    name_ = std::move(name);
    ++generation_;
    changed_.notify_all();
  }
  void watch(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      const long mine = generation_;
      const bool moved = changed_.wait_for(lock, stop, std::chrono::seconds(seconds_),
                                           [&] { return generation_ != mine; });
      if (!moved && !stop.stop_requested() && !name_.empty()) {
        std::fprintf(stderr, "rank %d: %s hangs for %d s\n", rank_, name_.c_str(), seconds_);
        std::fflush(nullptr);
        std::abort();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::string name_;
  long generation_ = 0;
  int rank_;
  int seconds_;
  std::jthread thread_;  // last: it uses the members above
};

// A failure on any rank fails the run. Only rank 0 prints its progress; failures print on every
// rank.
inline int run_mpi_tests(int argc, char** argv, int hang_seconds = 60) {
  const MpiSession session(&argc, &argv);
  const auto world = make_world_group();
  testing::GTEST_FLAG(brief) = world->rank() != 0;  // InitGoogleTest chooses the printer
  testing::InitGoogleTest(&argc, argv);
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  listeners.Append(new HangWatchdog(world->rank(), hang_seconds));  // gtest owns it
  const bool failed = RUN_ALL_TESTS() != 0;
  return world->any(failed) ? 1 : 0;
}

}  // namespace finescale
