// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/gemm.h"
#include "kernels/kernel_span.h"

namespace finescale {

void linear_cross_entropy(const Stream& stream, const TensorView& x, const TensorView& weight,
                          const TensorView& labels, const TensorView& weights, double scale,
                          const TensorView& losses, const TensorView& dx, const TensorView& dweight,
                          const TensorView& gathered, const TensorView& scratch,
                          const VocabularyPart* part, const HeadBias* bias,
                          const TeacherRows* teacher) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"head_and_loss",
                      {x.rows(), weight.rows(), weight.cols()},
                      0,
                      bytes_of(gathered) * 2 + bytes_of(dx)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::linear_cross_entropy(stream, x, weight, labels, weights, scale, losses, dx, dweight,
                                gathered, scratch, part, bias, teacher);
      return;
    case DeviceType::kCuda:
      if (teacher != nullptr) {
        no_kernel("divergence");
      }
      cuda::linear_cross_entropy(stream, x, weight, labels, weights, scale, losses, dx, dweight,
                                 gathered, scratch, part, bias, nullptr);
      return;
  }
}

TensorView gradient_of_logits(const Stream& stream, const TensorView& logits) {
  constexpr std::size_t kAligned = 16;  // as tensor cores want rows
  const std::size_t size = dtype_size(logits.dtype);
  const bool is_aligned =
      reinterpret_cast<std::uintptr_t>(logits.data) % kAligned == 0 &&
      (logits.rows() <= 1 || static_cast<std::size_t>(logits.row_stride) * size % kAligned == 0);
  const DType dtype = operand_dtype(stream, logits.dtype);
  if (dtype == logits.dtype || !is_aligned) {
    return logits;
  }
  TensorView gradient = logits;
  gradient.dtype = dtype;
  gradient.row_stride *= static_cast<std::int64_t>(size / dtype_size(dtype));
  return gradient;
}

void cross_entropy_in_place(const Stream& stream, const TensorView& logits,
                            const TensorView& labels, const TensorView& weights, double scale,
                            const TensorView& losses, const TensorView& gradient) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "cross_entropy", {logits.rows(), logits.cols()}, 0, bytes_of(logits) + bytes_of(gradient)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::cross_entropy_in_place(stream, logits, labels, weights, scale, losses, gradient);
      return;
    case DeviceType::kCuda:
      cuda::cross_entropy_in_place(stream, logits, labels, weights, scale, losses, gradient);
      return;
  }
}

void cross_entropy_statistics(const Stream& stream, const TensorView& logits,
                              const TensorView& labels, const TensorView& statistics,
                              bool want_gradient) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"cross_entropy_statistics",
                      {logits.rows(), logits.cols()},
                      0,
                      (want_gradient ? 2 : 1) * bytes_of(logits)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::cross_entropy_statistics(stream, logits, labels, statistics, want_gradient);
      return;
    case DeviceType::kCuda:
      cuda::cross_entropy_statistics(stream, logits, labels, statistics, want_gradient);
      return;
  }
}

void cross_entropy_combine(const Stream& stream, const TensorView& parts, const TensorView& whole) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"cross_entropy_combine",
                      {parts.rows(), whole.rows()},
                      0,
                      bytes_of(parts) + bytes_of(whole)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::cross_entropy_combine(stream, parts, whole);
      return;
    case DeviceType::kCuda:
      cuda::cross_entropy_combine(stream, parts, whole);
      return;
  }
}

void cross_entropy_finish(const Stream& stream, const TensorView& logits, const TensorView& labels,
                          const TensorView& weights, double scale, const TensorView& own,
                          const TensorView& whole, const TensorView& losses,
                          const TensorView& gradient) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"cross_entropy_finish",
                      {logits.rows(), logits.cols()},
                      0,
                      gradient.empty() ? 0 : bytes_of(logits) + bytes_of(gradient)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::cross_entropy_finish(stream, logits, labels, weights, scale, own, whole, losses,
                                gradient);
      return;
    case DeviceType::kCuda:
      cuda::cross_entropy_finish(stream, logits, labels, weights, scale, own, whole, losses,
                                 gradient);
      return;
  }
}

}  // namespace finescale
