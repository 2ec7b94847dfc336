// SPDX-License-Identifier: Apache-2.0
#include "core/stop_signal.h"

#include <unistd.h>
#include <ctime>

#include <atomic>
#include <csignal>
#include <initializer_list>

namespace finescale {

namespace {

constexpr std::time_t kSameWishSeconds = 1;

// A handler has no other way than these.
// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<int> noted = 0;  // set on one thread, read on others
timespec noted_at{};
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

timespec now() noexcept {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);  // async-signal-safe
  return time;
}

void on_signal(int signal) {
  const timespec time = now();
  if (noted == 0) {
    noted_at = time;
    noted = signal;
    return;
  }
  const bool is_later =
      time.tv_sec - noted_at.tv_sec > kSameWishSeconds ||
      (time.tv_sec - noted_at.tv_sec == kSameWishSeconds && time.tv_nsec >= noted_at.tv_nsec);
  if (is_later) {
    ::_exit(128 + signal);
  }
}

void on_warning(int /*signal*/) {
  if (noted == 0) {
    noted_at = now();
    noted = SIGTERM;
  }
}

void watch(int signal, void (*handler)(int)) {
  // No handler may interrupt another: they share the time.
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int other : {SIGINT, SIGTERM, SIGUSR1}) {
    sigaddset(&action.sa_mask, other);
  }
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void watch_stop_signals() {
  watch(SIGINT, on_signal);
  watch(SIGTERM, on_signal);
}

void watch_limit_warning() {
  watch(SIGUSR1, on_warning);
}

void unwatch_stop_signals() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGUSR1, SIG_DFL);
  noted = 0;
}

int stop_signal() noexcept {
  return noted;
}

}  // namespace finescale
