// SPDX-License-Identifier: Apache-2.0
// The Euclidean norm of a gradient that lies in pieces and on several ranks, added without
// rounding: no bit depends on the cut. On a GPU everything is enqueued, and who clips by the norm
// finds it in the GPU's memory; the host waits when it asks. The main thread of a rank calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/group.h"
#include "core/aligned_buffer.h"
#include "core/exact_sum.h"
#include "core/gpu.h"
#include "core/tensor.h"

namespace finescale {

class GradientNorm {
 public:
  // most_elements: of the largest piece. The world must outlive it.
  GradientNorm(const Stream& stream, Group& world, std::int64_t most_elements);

  void begin();
  // Squares of x, in blocks of kNormBlock.
  void add(const TensorView& x);
  // Collective over the world.
  void finish();

  // Since finish(). Of several calls one waits; what is enqueued behind finish() runs meanwhile.
  [[nodiscard]] double value();
  // On a GPU: [1] f64 in its memory; else null.
  [[nodiscard]] const double* in_memory() const noexcept { return norm_.as<const double>(); }

 private:
  Stream stream_;
  Group* world_;
  double value_ = 0;
  ExactSum total_;  // on the CPU
  // On a GPU: rows that are added to, their sum, that of every rank, and the norm.
  AlignedBuffer memory_;
  TensorView words_;
  TensorView own_;
  TensorView all_;
  TensorView norm_;
  std::vector<std::size_t> offsets_;  // of ranks in all_, in bytes
  std::unique_ptr<GpuReading> reading_;
  bool is_known_ = true;
};

}  // namespace finescale
