// SPDX-License-Identifier: Apache-2.0
#include "worker/model/quantised_weights.h"

#include <cstring>

#include "core/error.h"
#include "core/transfer.h"

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
  QuantisedScales all_scales;
  if (how_.doubles) {
    all_scales = quantise_scales(blocks.scales);
    matrix.scale_mean = all_scales.mean;
  }
  const std::int64_t bytes = block_bytes(how_.format);
  const std::int64_t count = matrix.blocks();
  std::vector<std::uint8_t> codes;
  std::vector<std::uint8_t> scale_codes;
  std::vector<float> scales;
  for (std::int64_t row = 0; row < matrix.rows; ++row) {
    const std::int64_t from = matrix.first_block + row * matrix.row_blocks;
    const auto copy = [&](const auto& all, std::int64_t size, auto& to) {
      to.insert(to.end(), all.begin() + from * size, all.begin() + (from + count) * size);
    };
    copy(blocks.codes, bytes, codes);
    if (how_.doubles) {
      copy(all_scales.codes, 1, scale_codes);
    } else {
      copy(blocks.scales, 1, scales);
    }
  }
  kept.codes = memory_of(codes);
  kept.scale_codes = memory_of(scale_codes);
  kept.scales = memory_of(scales);
  kept.factors = memory_of(all_scales.factors);
  matrix.codes = static_cast<const std::uint8_t*>(kept.codes.data());
  matrix.scales = how_.doubles ? nullptr : static_cast<const float*>(kept.scales.data());
  matrix.scale_codes = static_cast<const std::uint8_t*>(kept.scale_codes.data());
  matrix.scale_factors = static_cast<const float*>(kept.factors.data());
}

template <class T>
AlignedBuffer QuantisedWeights::memory_of(const std::vector<T>& values) const {
  const std::size_t bytes = values.size() * sizeof(T);
  AlignedBuffer memory(bytes, stream_);
  if (stream_.on_gpu()) {
    copy_to_device(stream_, values.data(), memory.data(), bytes);
  } else if (bytes > 0) {
    std::memcpy(memory.data(), values.data(), bytes);
  }
  return memory;
}

const QuantisedMatrix* QuantisedWeights::find(int tensor) const {
  const auto found = kept_.find(tensor);
  return found == kept_.end() ? nullptr : &found->second.matrix;
}

std::size_t QuantisedWeights::memory_bytes() const {
  std::size_t bytes = 0;
  for (const auto& [tensor, kept] : kept_) {
    bytes += kept.codes.size_bytes() + kept.scale_codes.size_bytes() + kept.scales.size_bytes() +
             kept.factors.size_bytes();
  }
  return bytes;
}

}  // namespace finescale
