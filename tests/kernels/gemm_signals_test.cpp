// SPDX-License-Identifier: Apache-2.0
// Products while signals come every 100 microseconds: the vendor's kernels keep the stack pointer
// for themselves, so a handler that ran on their thread would overwrite operands.
#include <sys/time.h>

#include <csignal>

#include "core/signal_thread.h"
#include "kernels/gemm.h"
#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

void use_stack(int /*signal*/) {
  volatile char bytes[4096];
  for (volatile char& one : bytes) {
    one = 1;
  }
}

class Alarms {
 public:
  Alarms() {
    std::signal(SIGALRM, use_stack);
    every({0, 100});
  }
  ~Alarms() {
    every({0, 0});
    std::signal(SIGALRM, SIG_IGN);
  }
  Alarms(const Alarms&) = delete;
  Alarms& operator=(const Alarms&) = delete;

 private:
  static void every(timeval time) {
    const itimerval timer{time, time};
    ::setitimer(ITIMER_REAL, &timer, nullptr);
  }
};

TEST(GemmUnderSignals, GivesTheSameBits) {
  cpu::ensure_isa();
  set_num_threads(1);  // a pool that was started before is not kept from signals
  const Stream stream;
  for (const Transpose transpose : {Transpose::kNo, Transpose::kYes}) {
    Tensor a(DType::kF32, transpose == Transpose::kNo ? 64 : 300,
             transpose == Transpose::kNo ? 300 : 64);
    Tensor b(DType::kF32, 300, 64);  // more than 256 terms: a kernel that does so
    Tensor quiet(DType::kF32, 64, 64);
    Tensor disturbed(DType::kF32, 64, 64);
    a.random(1);
    b.random(2);
    gemm(stream, transpose, Transpose::kNo, 1, a.view(), b.view(), 0, quiet.view());
    const SignalThread signals;
    const Alarms alarms;
    for (int i = 0; i < 10000; ++i) {
      gemm(stream, transpose, Transpose::kNo, 1, a.view(), b.view(), 0, disturbed.view());
      ASSERT_TRUE(disturbed.bytes() == quiet.bytes()) << i;
    }
  }
}

}  // namespace
}  // namespace finescale
