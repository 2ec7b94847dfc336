// SPDX-License-Identifier: Apache-2.0
// Handlers run on a thread that does nothing else. A handler writes below the stack pointer of the
// thread that it interrupts, and vendors' matrix products (oneDNN 2.6 on AVX-512) have that pointer
// elsewhere: their operands are overwritten, numbers change or the process dies. First thing in
// main: only threads that are started later are kept from signals.
#pragma once

#include <csignal>
#include <thread>

namespace finescale {

// While it lives, the calling thread and those that it starts have no handler run on them; what
// they do themselves (SIGSEGV, SIGPIPE, ...) is told to them as before.
class SignalThread {
 public:
  SignalThread();
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  sigset_t before_{};
  std::jthread thread_;
};

}  // namespace finescale
