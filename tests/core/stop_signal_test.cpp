// SPDX-License-Identifier: Apache-2.0
#include "core/stop_signal.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include <gtest/gtest.h>

namespace finescale {
namespace {

void pause() {
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
}

class StopSignal : public testing::Test {
 protected:
  StopSignal() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    watch_stop_signals();
  }
  ~StopSignal() override { unwatch_stop_signals(); }
};

TEST_F(StopSignal, OneWishThatArrivesTwiceIsNoted) {
  EXPECT_EQ(stop_signal(), 0);
  std::raise(SIGTERM);
  std::raise(SIGTERM);  // a launcher signals the process and its group
  std::raise(SIGINT);
  EXPECT_EQ(stop_signal(), SIGTERM);
}

TEST_F(StopSignal, AWarningOfTheLimitIsAWishToEnd) {
  watch_limit_warning();
  std::raise(SIGUSR1);
  EXPECT_EQ(stop_signal(), SIGTERM);
  std::raise(SIGUSR1);
  EXPECT_EQ(stop_signal(), SIGTERM);
}

TEST_F(StopSignal, ALaterOneEndsTheProcessAtOnce) {
  EXPECT_EXIT(
      {
        watch_stop_signals();
        std::raise(SIGTERM);
        pause();
        std::raise(SIGINT);
        std::exit(0);
      },
      testing::ExitedWithCode(128 + SIGINT), "");
}

TEST_F(StopSignal, UnwatchedTheSystemsHandlingHolds) {
  EXPECT_EXIT(
      {
        watch_stop_signals();
        std::raise(SIGINT);
        unwatch_stop_signals();
        if (stop_signal() == 0) {
          std::raise(SIGINT);
        }
        std::exit(0);
      },
      testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace finescale
