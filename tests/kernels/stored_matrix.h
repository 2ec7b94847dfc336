// SPDX-License-Identifier: Apache-2.0
// A matrix of few bits with its memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/quantised.h"

namespace finescale {

inline const std::vector<QuantFormat> kQuantFormats = {QuantFormat::kNf4,  QuantFormat::kFp4,
                                                       QuantFormat::kInt8, QuantFormat::kInt4,
                                                       QuantFormat::kInt3, QuantFormat::kInt2};

// A whole matrix, and columns [begin, end) of it as a part.
template <template <class> class Allocator = std::allocator>
class StoredMatrix {
 public:
  StoredMatrix(QuantFormat format, const TensorView& whole, bool doubles, std::int64_t begin = 0,
               std::int64_t end = -1) {
    const QuantisedBlocks blocks = quantise(format, whole);
    QuantisedScales scales;
    const std::int64_t row_blocks = (whole.cols() + kQuantBlock - 1) / kQuantBlock;
    matrix.format = format;
    matrix.rows = whole.rows();
    matrix.cols = (end < 0 ? whole.cols() : end) - begin;
    matrix.phase = begin % kQuantBlock;
    matrix.first_block = begin / kQuantBlock;
    matrix.row_blocks = row_blocks;
    const std::int64_t bytes = block_bytes(format);
    if (doubles) {
      scales = quantise_scales(blocks.scales);
      factors_.assign(scales.factors.begin(), scales.factors.end());
    }
    for (std::int64_t row = 0; row < matrix.rows; ++row) {
      for (std::int64_t b = 0; b < matrix.blocks(); ++b) {
        const auto at = static_cast<std::size_t>(row * row_blocks + matrix.first_block + b);
        const auto from = blocks.codes.begin() + static_cast<std::ptrdiff_t>(at) * bytes;
        codes_.insert(codes_.end(), from, from + bytes);
        part_scales_.push_back(blocks.scales[at]);
        if (doubles) {
          part_codes_.push_back(scales.codes[at]);
        }
      }
    }
    codes_.shrink_to_fit();  // what is read behind the end shows
    part_codes_.shrink_to_fit();
    part_scales_.shrink_to_fit();
    matrix.codes = codes_.data();
    matrix.scales = doubles ? nullptr : part_scales_.data();
    matrix.scale_codes = part_codes_.data();
    matrix.scale_factors = factors_.data();
    matrix.scale_mean = scales.mean;
  }
  QuantisedMatrix matrix;

 private:
  template <class T>
  using Vector = std::vector<T, Allocator<T>>;
  Vector<std::uint8_t> codes_, part_codes_;
  Vector<float> part_scales_, factors_;
};

}  // namespace finescale
