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

void library_gemm(Transpose transpose_a, Transpose transpose_b, const TensorView& a,
                  const TensorView& b, const TensorView& c) {
  cpu::ensure_isa();
  const bool a_t = transpose_a == Transpose::kYes;
  const bool b_t = transpose_b == Transpose::kYes;
  const dnnl_status_t status = dnnl_sgemm(
      a_t ? 'T' : 'N', b_t ? 'T' : 'N', c.rows(), c.cols(), a_t ? a.rows() : a.cols(), 1,
      a.as<float>(), a.row_stride, b.as<float>(), b.row_stride, 0, c.as<float>(), c.row_stride);
  if (status != dnnl_success) {
    throw Error(ErrorKind::kInternal, "dnnl_sgemm failed with status " + std::to_string(status));
  }
}

double library_gemm_rate(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n,
                         std::int64_t k) {
  using Clock = std::chrono::steady_clock;
  constexpr double kMeasureSeconds = 0.05;
  const auto matrix = [](std::vector<float>& memory, std::int64_t rows, std::int64_t cols) {
    memory.assign(static_cast<std::size_t>(rows * cols), 0.5F);
    return TensorView(memory.data(), DType::kF32, Shape{rows, cols});
  };
  std::vector<float> memory[3];
  const TensorView a = matrix(memory[0], transpose_a ? k : m, transpose_a ? m : k);
  const TensorView b = matrix(memory[1], transpose_b ? n : k, transpose_b ? k : n);
  const TensorView c = matrix(memory[2], m, n);
  double best = 1e9;
  const Clock::time_point start = Clock::now();
  for (int call = 0;
       call < 5 || Clock::now() - start < std::chrono::duration<double>(kMeasureSeconds); ++call) {
    const Clock::time_point begin = Clock::now();
    library_gemm(transpose_a ? Transpose::kYes : Transpose::kNo,
                 transpose_b ? Transpose::kYes : Transpose::kNo, a, b, c);
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return 2.0 * static_cast<double>(m * n * k) / best;
}

}  // namespace finescale::bench
