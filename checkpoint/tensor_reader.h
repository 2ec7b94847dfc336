// SPDX-License-Identifier: Apache-2.0
// One rank's reading of pieces of tensors: straight into their memory, each block checked on the
// way. Blocks of which it wants only a part are noted and left to others. Does not communicate.
#pragma once

#include <optional>
#include <vector>

#include "checkpoint/block_set.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/stored_file.h"
#include "core/hash.h"

namespace finescale {

class TensorReader {
 public:
  TensorReader(const RawFile& file, const StoredFile& stored)
      : file_(&file), stored_(&stored), partial_(stored.num_blocks) {}
  // Format version 1 has no blocks: everything is read, a whole tensor checked.
  void read(const CheckpointTensor& tensor);
  [[nodiscard]] const BlockSet& partial() const { return partial_; }

 private:
  void read_run(const StoredTensor& stored, std::int64_t begin, std::int64_t end,
                const CheckpointTensor& to, std::int64_t first);

  const RawFile* file_;
  const StoredFile* stored_;
  BlockSet partial_;
  std::vector<std::byte> scratch_;  // for conversions
  std::optional<Hasher> hasher_;    // of a whole tensor in format version 1
};

// `count` elements of type `stored` to elements of `local` from `first` on.
void copy_elements(const std::byte* from, DType stored, const TensorView& local, std::int64_t first,
                   std::int64_t count);
// Reads and checks the whole tensor of a file of format version 1.
void verify_tensor(const RawFile& file, const StoredTensor& stored);

}  // namespace finescale
