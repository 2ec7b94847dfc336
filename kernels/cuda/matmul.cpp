// SPDX-License-Identifier: Apache-2.0
// Matrix products by cuBLASLt. It counts columns first: row-major c [M, N] = op(a) op(b) is its
// c' [N, M] = op(b)' op(a)'. f32 is multiplied as f32, never as TF32; bf16 with f32 sums. For every
// shape the library's first choice is kept, so equal calls give equal bits.
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "core/error.h"
#include "core/gpu.h"
#include "kernels/bias.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/cuda_kernels.h"

namespace finescale::cuda {

namespace {

// What NVIDIA recommends for Hopper; older GPUs need less.
constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
constexpr std::uint32_t kMostAlignment = 256;

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return CUDA_R_32F;
    case DType::kF64:
      return CUDA_R_64F;
    case DType::kBf16:
      return CUDA_R_16BF;
    case DType::kI32:
      break;
  }
  throw Error(ErrorKind::kDevice, std::string("no CUDA matrix product of ") + dtype_name(dtype));
}

// Of a matrix as cuBLASLt is given it.
struct Operand {
  std::int64_t rows = 0;  // of the row-major view
  std::int64_t cols = 0;
  std::int64_t stride = 0;
  DType dtype = DType::kF32;
  std::uint32_t alignment = 0;  // of its begin, in bytes
  bool transposed = false;

  auto operator<=>(const Operand&) const = default;
};

Operand operand_of(const TensorView& view, Transpose transpose) {
  const auto address = reinterpret_cast<std::uintptr_t>(view.data);
  const auto alignment = static_cast<std::uint32_t>(address & (~address + 1));
  return {.rows = view.rows(),
          .cols = view.cols(),
          .stride = view.rows() == 1 ? view.cols() : view.row_stride,
          .dtype = view.dtype,
          .alignment = alignment == 0 ? kMostAlignment : std::min(alignment, kMostAlignment),
          .transposed = transpose == Transpose::kYes};
}

MatrixLayout layout_of(const Operand& operand) {
  cublasLtMatrixLayout_t layout = nullptr;
  CUBLAS_CHECK(cublaslt().create_layout(&layout, type_of(operand.dtype),
                                        static_cast<std::uint64_t>(operand.cols),
                                        static_cast<std::uint64_t>(operand.rows), operand.stride));
  return MatrixLayout(layout);
}

struct Plan {
  MatmulOperation operation;
  MatrixLayout a, b, c;
  cublasLtMatmulAlgo_t algorithm{};
};

class Matmuls final : public GpuLibrary {
 public:
  explicit Matmuls(Gpu& gpu) : gpu_(&gpu) {
    cublasLtHandle_t handle = nullptr;
    CUBLAS_CHECK(cublaslt().create(&handle));
    handle_ = CublasLtHandle(handle);
    workspace_ = gpu.allocate(kWorkspaceBytes, MemoryPurpose::kScratch);
  }
  ~Matmuls() override { gpu_->release(workspace_); }
  Matmuls(const Matmuls&) = delete;
  Matmuls& operator=(const Matmuls&) = delete;

  // alpha and beta: float, or double for f64.
  void run(const Stream& stream, const void* alpha, const TensorView& a, Transpose transpose_a,
           const TensorView& b, Transpose transpose_b, const void* beta, const TensorView& c) {
    const Plan& plan =
        plan_for(operand_of(a, transpose_a), operand_of(b, transpose_b), operand_of(c, {}));
    CUBLAS_CHECK(cublaslt().matmul(handle_.get(), plan.operation.get(), alpha, b.data, plan.b.get(),
                                   a.data, plan.a.get(), beta, c.data, plan.c.get(), c.data,
                                   plan.c.get(), &plan.algorithm, workspace_, kWorkspaceBytes,
                                   static_cast<cudaStream_t>(stream.native())));
  }

 private:
  using Key = std::tuple<Operand, Operand, Operand>;

  const Plan& plan_for(const Operand& a, const Operand& b, const Operand& c) {
    const auto [found, is_new] = plans_.try_emplace(Key{a, b, c});
    if (is_new) {
      try {
        found->second = make_plan(a, b, c);
      } catch (...) {
        plans_.erase(found);
        throw;
      }
    }
    return found->second;
  }

  // The library's "A" is our b.
  Plan make_plan(const Operand& a, const Operand& b, const Operand& c) const {
    const bool wide = c.dtype == DType::kF64;
    Plan plan;
    cublasLtMatmulDesc_t operation = nullptr;
    CUBLAS_CHECK(cublaslt().create_operation(&operation,
                                             wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                             wide ? CUDA_R_64F : CUDA_R_32F));
    plan.operation = MatmulOperation(operation);
    const auto set_transpose = [&](cublasLtMatmulDescAttributes_t which, bool transposed) {
      const cublasOperation_t value = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
      CUBLAS_CHECK(cublaslt().set_operation(operation, which, &value, sizeof value));
    };
    set_transpose(CUBLASLT_MATMUL_DESC_TRANSA, b.transposed);
    set_transpose(CUBLASLT_MATMUL_DESC_TRANSB, a.transposed);
    plan.a = layout_of(a);
    plan.b = layout_of(b);
    plan.c = layout_of(c);
    plan.algorithm = choose(plan, a, b, c);
    return plan;
  }

  [[nodiscard]] cublasLtMatmulAlgo_t choose(const Plan& plan, const Operand& a, const Operand& b,
                                            const Operand& c) const {
    cublasLtMatmulPreference_t made = nullptr;
    CUBLAS_CHECK(cublaslt().create_preference(&made));
    const MatmulPreference preference(made);
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t which, const auto& value) {
      CUBLAS_CHECK(cublaslt().set_preference(made, which, &value, sizeof value));
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, b.alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, a.alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, c.alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, c.alignment);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status =
        cublaslt().find_algorithms(handle_.get(), plan.operation.get(), plan.b.get(), plan.a.get(),
                                   plan.c.get(), plan.c.get(), made, 1, &found, &count);
    if (status != CUBLAS_STATUS_SUCCESS || count == 0) {
      throw Error(ErrorKind::kDevice, "cuBLASLt has no way to multiply " + describe(a) + " by " +
                                          describe(b) + " into " + describe(c) + ": " +
                                          cublaslt().status_string(status));
    }
    return found.algo;
  }

  static std::string describe(const Operand& operand) {
    return std::string(dtype_name(operand.dtype)) + " [" + std::to_string(operand.rows) + ", " +
           std::to_string(operand.cols) + "]" + (operand.transposed ? " transposed" : "");
  }

  Gpu* gpu_;
  CublasLtHandle handle_;
  void* workspace_ = nullptr;
  std::map<Key, Plan> plans_;
};

void check_shapes(Transpose transpose_a, Transpose transpose_b, const TensorView& a,
                  const TensorView& b, const TensorView& c) {
  const bool plain_a = transpose_a == Transpose::kNo;
  const bool plain_b = transpose_b == Transpose::kNo;
  FS_CHECK((plain_a ? a.rows() : a.cols()) == c.rows() &&
               (plain_b ? b.cols() : b.rows()) == c.cols() &&
               (plain_a ? a.cols() : a.rows()) == (plain_b ? b.rows() : b.cols()),
           "gemm shapes " + a.shape.text() + " " + b.shape.text() + " " + c.shape.text());
}

}  // namespace

void gemm(const Stream& stream, Transpose transpose_a, Transpose transpose_b, double alpha,
          const TensorView& a, const TensorView& b, double beta, const TensorView& c) {
  check_shapes(transpose_a, transpose_b, a, b, c);
  if (c.num_elements() == 0) {
    return;
  }
  if (a.num_elements() == 0) {  // a sum of nothing
    if (beta == 0) {
      cuda::fill_zero(stream, c);
    } else if (beta != 1) {
      cuda::affine_in_place(stream, beta, 0, c);
    }
    return;
  }
  const auto narrow_alpha = static_cast<float>(alpha);
  const auto narrow_beta = static_cast<float>(beta);
  const bool wide = c.dtype == DType::kF64;
  stream.gpu()->library<Matmuls>().run(
      stream, wide ? static_cast<const void*>(&alpha) : &narrow_alpha, a, transpose_a, b,
      transpose_b, wide ? static_cast<const void*>(&beta) : &narrow_beta, c);
}

}  // namespace finescale::cuda
