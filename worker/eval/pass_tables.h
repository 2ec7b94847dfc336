// SPDX-License-Identifier: Apache-2.0
// What kernels read of a decoder's pass beside activations, where a GPU can read it: it travels in
// one copy before the pass. Letters: R rows, O of them with an output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/device.h"
#include "core/tensor.h"
#include "kernels/cached_attention.h"

namespace finescale {

class PassTables {
 public:
  PassTables() = default;
  // Of at most so many rows.
  PassTables(const Stream& stream, std::int64_t rows, std::int64_t outputs);

  // The places' tables of pages lie in the GPU's memory.
  struct Pass {
    std::span<const std::int32_t> tokens, positions, outputs;  // [R], [R], [O]
    std::span<const CachedToken> places, output_places;        // [R], [O]
  };
  void upload(const Stream& stream, const Pass& pass);

  // Of the last upload.
  [[nodiscard]] const TensorView& tokens() const noexcept { return tokens_; }
  [[nodiscard]] const TensorView& positions() const noexcept { return positions_; }
  [[nodiscard]] const TensorView& outputs() const noexcept { return outputs_; }
  [[nodiscard]] const CachedToken* places() const noexcept { return places_; }
  [[nodiscard]] const CachedToken* output_places() const noexcept { return output_places_; }

 private:
  AlignedBuffer memory_;
  std::vector<std::byte> staged_;
  TensorView tokens_, positions_, outputs_;
  const CachedToken* places_ = nullptr;
  const CachedToken* output_places_ = nullptr;
};

}  // namespace finescale
