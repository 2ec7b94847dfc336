// SPDX-License-Identifier: Apache-2.0
#include "core/parallel.h"

#include <omp.h>
#include <unistd.h>

#ifdef __SSE2__
#include <xmmintrin.h>
#endif

#include <algorithm>
#include <cstdlib>

namespace finescale {

namespace {

// Numbers below 1e-38 (1e-308) count as zero: a step of the processor that keeps them costs
// hundreds of cycles, and the gradients of a confident softmax are full of them (6 times slower,
// measured).
void flush_denormals() {
#ifdef __SSE2__
  constexpr unsigned kFlushToZero = 0x8000;
  constexpr unsigned kDenormalsAreZero = 0x0040;
  _mm_setcsr(_mm_getcsr() | kFlushToZero | kDenormalsAreZero);
#endif
}

}  // namespace

void set_num_threads(int threads) {
  omp_set_num_threads(std::max(1, threads));
#pragma omp parallel
  flush_denormals();
}

int num_threads() noexcept {
  return omp_get_max_threads();
}

OneThread::OneThread() noexcept : before_(omp_get_max_threads()) {
  omp_set_num_threads(1);
}

OneThread::~OneThread() {
  omp_set_num_threads(before_);
}

void limit_spinning(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) {
    return;
  }
  ::setenv("GOMP_SPINCOUNT", "10000", 0);
  ::execv("/proc/self/exe", argv);  // where that is not possible the default stays
}

void internal::parallel_run(std::int64_t count, std::int64_t grain,
                            void (*body)(void*, std::int64_t, std::int64_t), void* context) {
  if (count <= 0) {
    return;
  }
  const std::int64_t pieces = std::min<std::int64_t>(
      num_threads(), std::max<std::int64_t>(1, count / std::max<std::int64_t>(1, grain)));
  if (pieces == 1) {
    body(context, 0, count);
    return;
  }
#pragma omp parallel for schedule(static, 1) num_threads(static_cast <int>(pieces))
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    body(context, count * piece / pieces, count * (piece + 1) / pieces);
  }
}

void internal::parallel_run_dynamic(std::int64_t count, void (*body)(void*, std::int64_t),
                                    void* context) {
  if (count <= 1 || num_threads() == 1) {
    for (std::int64_t index = 0; index < count; ++index) {
      body(context, index);
    }
    return;
  }
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t index = 0; index < count; ++index) {
    body(context, index);
  }
}

}  // namespace finescale
