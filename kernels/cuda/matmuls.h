// SPDX-License-Identifier: Apache-2.0
// Matrix products of one GPU by cuBLASLt. For every shape the library's first choice is kept, so
// equal calls give equal bits. f32 is multiplied as f32, never as TF32; bf16 with f32 sums.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <tuple>

#include "core/cuda/launch_queue.h"
#include "core/gpu.h"
#include "core/tensor.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/gemm.h"

namespace finescale::cuda {

// Of a matrix as cuBLASLt is given it.
struct MatmulOperand {
  std::int64_t rows = 0;  // of the row-major view
  std::int64_t cols = 0;
  std::int64_t stride = 0;
  DType dtype = DType::kF32;
  std::uint32_t alignment = 0;  // of its begin, in bytes
  bool transposed = false;

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the operator for a 0
  auto operator<=>(const MatmulOperand&) const = default;
};

class Matmuls final : public GpuLibrary {
 public:
  explicit Matmuls(Gpu& gpu);
  ~Matmuls() override;
  Matmuls(const Matmuls&) = delete;
  Matmuls& operator=(const Matmuls&) = delete;

  // c = alpha op(a) op(b) + beta c; a and b of one type, c of theirs or f32.
  void run(const Stream& stream, double alpha, const TensorView& a, Transpose transpose_a,
           const TensorView& b, Transpose transpose_b, double beta, const TensorView& c);

  // A copy of `matrix` rounded to bf16 that products of it, or of a range of its columns, use until
  // as many calls of forget_rounded.
  void keep_rounded(const Stream& stream, const TensorView& matrix);
  void forget_rounded(const TensorView& matrix) noexcept;
  // The copy that is kept; empty: none is.
  [[nodiscard]] TensorView rounded(const TensorView& matrix) noexcept;

 private:
  struct Plan {
    MatmulOperation operation;
    MatrixLayout a, b, c;
    cublasLtMatmulAlgo_t algorithm{};
    bool is_wide = false;  // f64
  };
  // One product as it is enqueued. A plan stays where it is as long as its GPU.
  struct Call {
    cublasLtHandle_t handle;
    const Plan* plan;
    const void* a;
    const void* b;
    void* c;
    void* workspace;
    double alpha;
    double beta;
  };
  struct Rounded {
    Rounded(Gpu& gpu, const TensorView& matrix);

    TensorView of;
    GpuScratch memory;
    TensorView copy;
    int users = 1;
  };
  using Key = std::tuple<MatmulOperand, MatmulOperand, MatmulOperand>;

  static void run_call(const Call& call, const LaunchQueue::Target& target);
  [[nodiscard]] std::list<Rounded>::iterator find(const TensorView& matrix) noexcept;
  const Plan& plan_for(const MatmulOperand& a, const MatmulOperand& b, const MatmulOperand& c);
  [[nodiscard]] Plan make_plan(const MatmulOperand& a, const MatmulOperand& b,
                               const MatmulOperand& c) const;
  [[nodiscard]] cublasLtMatmulAlgo_t choose(const Plan& plan, const MatmulOperand& a,
                                            const MatmulOperand& b, const MatmulOperand& c) const;

  Gpu* gpu_;
  CublasLtHandle handle_;
  void* workspace_ = nullptr;
  std::map<Key, Plan> plans_;
  std::list<Rounded> rounded_;
};

}  // namespace finescale::cuda
