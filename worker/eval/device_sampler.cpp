// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/device_sampler.h"

#include <algorithm>

#include "core/error.h"
#include "core/transfer.h"

namespace finescale {

DeviceSampler::DeviceSampler(const Stream& stream, const SamplingOptions& options,
                             std::int64_t rows)
    : stream_(stream),
      options_(&options),
      begins_{0},
      device_tokens_(static_cast<std::size_t>(rows) * sizeof(std::int32_t), stream,
                     MemoryPurpose::kActivations) {}

void DeviceSampler::add(std::span<const std::int32_t> seen, double uniform) {
  ids_.insert(ids_.end(), seen.begin(), seen.end());
  begins_.push_back(static_cast<std::int32_t>(ids_.size()));
  uniforms_.push_back(uniform);
}

TensorView DeviceSampler::uploaded(AlignedBuffer& memory, const void* host, std::int64_t count,
                                   DType dtype) const {
  const std::size_t bytes = static_cast<std::size_t>(count) * dtype_size(dtype);
  if (memory.size_bytes() < bytes) {
    memory = AlignedBuffer(std::max(bytes, 2 * memory.size_bytes()), stream_,
                           MemoryPurpose::kActivations);
  }
  copy_to_device(stream_, host, memory.data(), bytes);
  return {memory.data(), dtype, Shape{count}};
}

void DeviceSampler::choose(const TensorView& logits, std::span<std::int32_t> next) {
  FS_CHECK(next.size() == uniforms_.size() && next.size_bytes() <= device_tokens_.size_bytes(),
           "as many rows as were added");
  SeenTokens seen;
  if (!ids_.empty() && options_->repetition_penalty != 1) {
    seen.ids = uploaded(device_ids_, ids_.data(), std::ssize(ids_), DType::kI32);
    seen.begins = uploaded(device_begins_, begins_.data(), std::ssize(begins_), DType::kI32);
  }
  const TensorView uniforms =
      uploaded(device_uniforms_, uniforms_.data(), std::ssize(uniforms_), DType::kF64);
  sample_rows(stream_, *options_, logits, seen, uniforms,
              TensorView(device_tokens_.data(), DType::kI32, Shape{std::ssize(next)}));
  copy_to_host(stream_, device_tokens_.data(), next.data(), next.size_bytes());
  ids_.clear();
  begins_.assign(1, 0);
  uniforms_.clear();
}

}  // namespace finescale
