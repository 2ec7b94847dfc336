// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/library_gemm.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <oneapi/dnnl/dnnl.h>

#include "core/error.h"
#include "kernels/cpu/isa.h"

namespace finescale::bench {

double library_gemm_rate(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n,
                         std::int64_t k) {
  using Clock = std::chrono::steady_clock;
  constexpr double kMeasureSeconds = 0.05;
  cpu::ensure_isa();
  const std::vector<float> a(static_cast<std::size_t>(m * k), 0.5F);
  const std::vector<float> b(static_cast<std::size_t>(k * n), 0.25F);
  std::vector<float> c(static_cast<std::size_t>(m * n));
  double best = 1e9;
  const Clock::time_point start = Clock::now();
  for (int call = 0;
       call < 5 || Clock::now() - start < std::chrono::duration<double>(kMeasureSeconds); ++call) {
    const Clock::time_point begin = Clock::now();
    const dnnl_status_t status =
        dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1, a.data(),
                   transpose_a ? m : k, b.data(), transpose_b ? k : n, 0, c.data(), n);
    if (status != dnnl_success) {
      throw Error(ErrorKind::kInternal, "dnnl_sgemm failed with status " + std::to_string(status));
    }
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return 2.0 * static_cast<double>(m * n * k) / best;
}

}  // namespace finescale::bench
