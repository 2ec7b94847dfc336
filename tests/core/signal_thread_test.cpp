// SPDX-License-Identifier: Apache-2.0
#include "core/signal_thread.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <optional>

#include <gtest/gtest.h>

namespace finescale {
namespace {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): a handler has no other way
std::atomic<pthread_t> handled_by = 0;

void on_signal(int /*signal*/) {
  handled_by = ::pthread_self();
}

pthread_t handler_of(int signal) {
  handled_by = 0;
  ::kill(::getpid(), signal);
  for (int i = 0; i < 2000 && handled_by == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return handled_by;
}

TEST(SignalThread, TakesSignalsFromWhoStartedItAndFromLaterThreads) {
  std::signal(SIGUSR1, on_signal);
  {
    const SignalThread signals;
    pthread_t in_later = 0;
    const pthread_t in_this = handler_of(SIGUSR1);
    EXPECT_NE(in_this, pthread_t(0));
    EXPECT_NE(in_this, ::pthread_self());
    std::thread later([&] { in_later = handler_of(SIGUSR1); });
    later.join();
    EXPECT_EQ(in_later, in_this);
  }
  EXPECT_EQ(handler_of(SIGUSR1), ::pthread_self());  // as before
  std::signal(SIGUSR1, SIG_DFL);
}

TEST(SignalThread, ASignalWithoutAHandlerStillEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const SignalThread signals;
        ::kill(::getpid(), SIGTERM);
        std::this_thread::sleep_for(std::chrono::seconds(5));
        ::_exit(0);
      },
      testing::KilledBySignal(SIGTERM), "");
}

TEST(SignalThread, APipeThatNobodyReadsStillEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const SignalThread signals;
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        ::close(ends[0]);
        ::_exit(::write(ends[1], "x", 1) == 1 ? 0 : 1);
      },
      testing::KilledBySignal(SIGPIPE), "");
}

}  // namespace
}  // namespace finescale
