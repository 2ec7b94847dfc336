// SPDX-License-Identifier: Apache-2.0
#include "core/parallel.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace finescale {

void set_num_threads(int threads) {
  omp_set_num_threads(std::max(1, threads));
}

int num_threads() noexcept {
  return omp_get_max_threads();
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
