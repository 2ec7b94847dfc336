// SPDX-License-Identifier: Apache-2.0
// One rank's reading of pieces of tensors: straight into their memory, each block that it holds
// whole checked on the way. Does not communicate.
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
      : file_(&file), stored_(&stored), touched_(stored.num_blocks), checked_(stored.num_blocks) {}
  void read(const CheckpointTensor& tensor);
  // Blocks that were read, whole or in part, and those whose hash was checked.
  [[nodiscard]] const BlockSet& touched() const { return touched_; }
  [[nodiscard]] const BlockSet& checked() const { return checked_; }

 private:
  void read_run(const StoredTensor& stored, std::int64_t begin, std::int64_t end,
                const TensorView& local, std::int64_t first);
  void check(const StoredTensor& stored, std::int64_t begin, std::int64_t end,
             const std::byte* bytes);

  const RawFile* file_;
  const StoredFile* stored_;
  BlockSet touched_;
  BlockSet checked_;
  std::vector<std::byte> scratch_;  // for conversions
  std::optional<Hasher> hasher_;    // of a whole tensor in format version 1
};

// Reads and checks the whole tensor of a file of format version 1.
void verify_tensor(const RawFile& file, const StoredTensor& stored);

}  // namespace finescale
