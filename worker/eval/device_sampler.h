// SPDX-License-Identifier: Apache-2.0
// The next tokens of many sequences from logits that lie in a GPU's memory: chosen there, so that
// only tokens travel. On the CPU the sequences choose for themselves.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/device.h"
#include "core/tensor.h"
#include "kernels/sampling.h"

namespace finescale {

class DeviceSampler {
 public:
  // options must outlive it. At most `rows` at once.
  DeviceSampler(const Stream& stream, const SamplingOptions& options, std::int64_t rows);

  // What decides for one row, in the order of the rows.
  void add(std::span<const std::int32_t> seen, double uniform);
  // next[i] becomes the token of row i of logits [R, V], for the rows that were added; then there
  // are none. Waits for the GPU.
  void choose(const TensorView& logits, std::span<std::int32_t> next);

 private:
  // Grows and stays.
  [[nodiscard]] TensorView uploaded(AlignedBuffer& memory, const void* host, std::int64_t count,
                                    DType dtype) const;

  Stream stream_;
  const SamplingOptions* options_;
  std::vector<std::int32_t> ids_, begins_;
  std::vector<double> uniforms_;
  AlignedBuffer device_ids_, device_begins_, device_uniforms_, device_tokens_;
};

}  // namespace finescale
