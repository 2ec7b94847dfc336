// SPDX-License-Identifier: Apache-2.0
// cuBLASLt counts columns first: row-major c [M, N] = op(a) op(b) is its c' [N, M] = op(b)' op(a)'.
#include "kernels/cuda/matmuls.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "kernels/cuda/rounding.h"

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

MatmulOperand operand_of(const TensorView& view, Transpose transpose) {
  const auto address = reinterpret_cast<std::uintptr_t>(view.data);
  const auto alignment = static_cast<std::uint32_t>(address & (~address + 1));
  return {.rows = view.rows(),
          .cols = view.cols(),
          .stride = view.rows() == 1 ? view.cols() : view.row_stride,
          .dtype = view.dtype,
          .alignment = alignment == 0 ? kMostAlignment : std::min(alignment, kMostAlignment),
          .transposed = transpose == Transpose::kYes};
}

MatrixLayout layout_of(const MatmulOperand& operand) {
  cublasLtMatrixLayout_t layout = nullptr;
  CUBLAS_CHECK(cublaslt().create_layout(&layout, type_of(operand.dtype),
                                        static_cast<std::uint64_t>(operand.cols),
                                        static_cast<std::uint64_t>(operand.rows), operand.stride));
  return MatrixLayout(layout);
}

std::string describe(const MatmulOperand& operand) {
  return std::string(dtype_name(operand.dtype)) + " [" + std::to_string(operand.rows) + ", " +
         std::to_string(operand.cols) + "]" + (operand.transposed ? " transposed" : "");
}

// The first column of `inner` in `outer`; -1: it is not a range of its columns.
std::int64_t first_column(const TensorView& outer, const TensorView& inner) {
  if (outer.data == inner.data && outer.rows() == inner.rows() && outer.cols() == inner.cols() &&
      outer.row_stride == inner.row_stride) {
    return 0;
  }
  const std::int64_t offset = inner.as<float>() - outer.as<float>();
  const bool inside = outer.rows() > 1 && outer.rows() == inner.rows() &&
                      outer.row_stride == inner.row_stride && offset > -1 &&
                      offset + inner.cols() <= outer.cols();
  return inside ? offset : -1;
}

}  // namespace

Matmuls::Matmuls(Gpu& gpu) : gpu_(&gpu) {
  cublasLtHandle_t handle = nullptr;
  CUBLAS_CHECK(cublaslt().create(&handle));
  handle_ = CublasLtHandle(handle);
  workspace_ = gpu.allocate(kWorkspaceBytes, MemoryPurpose::kScratch);
}

Matmuls::~Matmuls() {
  gpu_->release(workspace_);
}

void Matmuls::run(const Stream& stream, double alpha, const TensorView& a, Transpose transpose_a,
                  const TensorView& b, Transpose transpose_b, double beta, const TensorView& c) {
  const Plan& plan =
      plan_for(operand_of(a, transpose_a), operand_of(b, transpose_b), operand_of(c, {}));
  stream.gpu()->queue().add<Call, &Matmuls::run_call>(
      {handle_.get(), &plan, a.data, b.data, c.data, workspace_, alpha, beta},
      stream.observer() != nullptr);
}

// Scalars are read at the call.
void Matmuls::run_call(const Call& call, const LaunchQueue::Target& target) {
  const Plan& plan = *call.plan;
  const auto narrow_alpha = static_cast<float>(call.alpha);
  const auto narrow_beta = static_cast<float>(call.beta);
  const void* by = plan.is_wide ? static_cast<const void*>(&call.alpha) : &narrow_alpha;
  const void* keep = plan.is_wide ? static_cast<const void*>(&call.beta) : &narrow_beta;
  CUBLAS_CHECK(cublaslt().matmul(call.handle, plan.operation.get(), by, call.b, plan.b.get(),
                                 call.a, plan.a.get(), keep, call.c, plan.c.get(), call.c,
                                 plan.c.get(), &plan.algorithm, call.workspace, kWorkspaceBytes,
                                 target.stream));
}

const Matmuls::Plan& Matmuls::plan_for(const MatmulOperand& a, const MatmulOperand& b,
                                       const MatmulOperand& c) {
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
Matmuls::Plan Matmuls::make_plan(const MatmulOperand& a, const MatmulOperand& b,
                                 const MatmulOperand& c) const {
  const bool wide = c.dtype == DType::kF64;
  Plan plan;
  plan.is_wide = wide;
  cublasLtMatmulDesc_t operation = nullptr;
  CUBLAS_CHECK(cublaslt().create_operation(
      &operation, wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F, wide ? CUDA_R_64F : CUDA_R_32F));
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

cublasLtMatmulAlgo_t Matmuls::choose(const Plan& plan, const MatmulOperand& a,
                                     const MatmulOperand& b, const MatmulOperand& c) const {
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

Matmuls::Rounded::Rounded(Gpu& gpu, const TensorView& matrix)
    : of(matrix),
      memory(gpu, static_cast<std::size_t>(matrix.rows() * rounded_stride(matrix.cols())) *
                      dtype_size(DType::kBf16)),
      copy(TensorView(memory.data(), DType::kBf16, {matrix.rows(), rounded_stride(matrix.cols())})
               .columns(0, matrix.cols())) {}

void Matmuls::keep_rounded(const Stream& stream, const TensorView& matrix) {
  if (const auto found = find(matrix); found != rounded_.end()) {
    ++found->users;
    return;
  }
  cuda::round_to_bf16(stream, matrix, rounded_.emplace_back(*gpu_, matrix).copy);
}

void Matmuls::forget_rounded(const TensorView& matrix) noexcept {
  if (const auto found = find(matrix); found != rounded_.end() && --found->users == 0) {
    rounded_.erase(found);
  }
}

TensorView Matmuls::rounded(const TensorView& matrix) noexcept {
  const auto found = find(matrix);
  if (found == rounded_.end()) {
    return {};
  }
  const std::int64_t first = first_column(found->of, matrix);
  return found->copy.columns(first, first + matrix.cols());
}

std::list<Matmuls::Rounded>::iterator Matmuls::find(const TensorView& matrix) noexcept {
  return std::find_if(rounded_.begin(), rounded_.end(),
                      [&](const Rounded& one) { return first_column(one.of, matrix) >= 0; });
}

}  // namespace finescale::cuda
