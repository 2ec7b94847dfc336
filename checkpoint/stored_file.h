// SPDX-License-Identifier: Apache-2.0
// What the structure of a checkpoint says: where each tensor's bytes lie in the file, and the
// hashes of its blocks. The only place, beside state, that goes through HDF5.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace finescale {

inline constexpr std::int64_t kHashBlockBytes = std::int64_t{1} << 20;
inline constexpr std::int64_t kHashCharacters = 32;

struct StoredTensor {
  std::string path;
  Shape shape;
  DType dtype = DType::kF32;
  bool trainable = true;
  std::int64_t offset = 0;       // bytes, in the file
  std::int64_t first_block = 0;  // in the table of hashes; -1: format version 1
  std::string hash;              // format version 1: of the whole tensor

  [[nodiscard]] std::int64_t size_bytes() const {
    return shape.num_elements() * static_cast<std::int64_t>(dtype_size(dtype));
  }
  [[nodiscard]] std::int64_t num_blocks() const {
    return (size_bytes() + kHashBlockBytes - 1) / kHashBlockBytes;
  }
};

struct StoredFile {
  std::vector<StoredTensor> tensors;  // sorted by path
  std::int64_t num_blocks = 0;        // 0: format version 1
  std::int64_t hashes_offset = 0;     // bytes, in the file
  std::string hashes;                 // when read: kHashCharacters for each block

  [[nodiscard]] const StoredTensor* find(const std::string& path) const;  // null: none
};

// Makes the file with state, structure and space for all data, and fills in the offsets. By one
// rank alone.
void create_structure(const std::string& path, const CheckpointState& state, StoredFile& stored);
[[nodiscard]] StoredFile load_structure(const std::string& path, CheckpointState& state);

}  // namespace finescale
