// SPDX-License-Identifier: Apache-2.0
#include "worker/model/quantised_weights.h"

#include "core/error.h"

namespace finescale {

bool is_quantised(const std::string& tensor) {
  return tensor.ends_with("_proj.weight");
}

void QuantisedWeights::fill(int tensor, const LogicalTensor& logical, const LocalPart& part,
                            DType dtype, const Read& read) {
  const Shape& shape = logical.shape;
  FS_CHECK(shape.rank == 2, "only matrices are quantised");
  QuantisedBlocks blocks;
  {
    const AlignedBuffer whole(static_cast<std::size_t>(shape.num_elements()) * dtype_size(dtype));
    const TensorView values(whole.data(), dtype, shape);
    LocalPart slab{shape, shape};
    slab.offset.dims = {};
    read(slab, values);
    blocks = quantise(how_.format, values);
  }
  Kept& kept = kept_[tensor];
  kept = {};
  QuantisedMatrix& matrix = kept.matrix;
  matrix.format = how_.format;
  matrix.rows = part.shape[0];
  matrix.cols = part.shape[1];
  matrix.phase = part.offset[1] % kQuantBlock;
  matrix.row_blocks = (shape[1] + kQuantBlock - 1) / kQuantBlock;
  matrix.first_block = part.offset[0] * matrix.row_blocks + part.offset[1] / kQuantBlock;
  QuantisedScales scales;
  if (how_.doubles) {
    scales = quantise_scales(blocks.scales);
    kept.factors = std::move(scales.factors);
    matrix.scale_mean = scales.mean;
  }
  const std::int64_t bytes = block_bytes(how_.format);
  const std::int64_t count = matrix.blocks();
  for (std::int64_t row = 0; row < matrix.rows; ++row) {
    const std::int64_t from = matrix.first_block + row * matrix.row_blocks;
    const auto copy = [&](const auto& all, std::int64_t size, auto& to) {
      to.insert(to.end(), all.begin() + from * size, all.begin() + (from + count) * size);
    };
    copy(blocks.codes, bytes, kept.codes);
    if (how_.doubles) {
      copy(scales.codes, 1, kept.scale_codes);
    } else {
      copy(blocks.scales, 1, kept.scales);
    }
  }
  kept.codes.shrink_to_fit();
  matrix.codes = kept.codes.data();
  matrix.scales = how_.doubles ? nullptr : kept.scales.data();
  matrix.scale_codes = kept.scale_codes.data();
  matrix.scale_factors = kept.factors.data();
}

const QuantisedMatrix* QuantisedWeights::find(int tensor) const {
  const auto found = kept_.find(tensor);
  return found == kept_.end() ? nullptr : &found->second.matrix;
}

std::size_t QuantisedWeights::memory_bytes() const {
  std::size_t bytes = 0;
  for (const auto& [tensor, kept] : kept_) {
    bytes += kept.codes.size() + kept.scale_codes.size() +
             (kept.scales.size() + kept.factors.size()) * sizeof(float);
  }
  return bytes;
}

}  // namespace finescale
