// SPDX-License-Identifier: Apache-2.0
#include "core/signal_thread.h"

#include <condition_variable>
#include <mutex>

namespace finescale {

SignalThread::SignalThread() {
  sigset_t blocked;
  ::sigfillset(&blocked);
  for (const int own :
       {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPIPE, SIGXFSZ}) {
    ::sigdelset(&blocked, own);
  }
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before_);
  thread_ = std::jthread([before = before_](const std::stop_token& stop) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any ended;
    ended.wait(lock, stop, [] { return false; });
  });
}

SignalThread::~SignalThread() {
  thread_ = {};  // joined: what is pending then is for the thread that is here
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace finescale
