// SPDX-License-Identifier: Apache-2.0
// Layout-independent checkpoints in HDF5: logical tensors by name, written and read by hyperslabs
// (docs/checkpoint-format.md). Contiguous datasets, and hashes of their blocks that are checked
// when read.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/group.h"
#include "core/file_memory.h"
#include "core/tensor.h"
#include "sharding/layout.h"

namespace finescale {

// One tensor, or a piece of one, to write or read: elements [begin, end) of `part`, row-major, lie
// densely in `local`. A rank may give several pieces of a tensor, and ranks different ones.
struct CheckpointTensor {
  std::string path;  // /model/<name>, /adapter/<name>/A, /optimizer/<slot>/<name>
  Shape shape;       // logical
  LocalPart part;
  TensorView local;  // f32 or f64
  bool writes = true;
  bool trainable = true;
  std::int64_t begin = 0;
  std::int64_t end = -1;             // -1: of the whole part
  const FileMemory* file = nullptr;  // that local lies in: its pages are dropped after use
};

struct CheckpointState {  // group /state and /run
  std::int64_t step = 0;
  std::int64_t tokens = 0;
  std::int64_t labels = 0;
  std::int64_t examples = 0;
  double seconds = 0;
  double train_flops = 0;
  std::string base_key;                   // adapters: the frozen base
  std::string stage_text;                 // canonical StageSpec
  std::string model_text;                 // canonical ModelConfig
  std::string result;                     // serialized proto StageResult so far: step and eval rows
  std::map<std::string, double> numbers;  // e.g. best loss of keep: best
};

// Writes PATH.tmp, fsyncs, renames. Collective over the group; the lists of ranks may differ, but
// every element of each tensor is written exactly once (else kInternal, naming the tensor).
void write_checkpoint(Group& group, const std::string& path, const CheckpointState& state,
                      const std::vector<CheckpointTensor>& tensors);

class CheckpointReader {
 public:
  // Collective over the group. Throws kCheckpoint when the file is missing or damaged, naming it.
  CheckpointReader(Group& group, const std::string& path);
  ~CheckpointReader();
  CheckpointReader(const CheckpointReader&) = delete;
  CheckpointReader& operator=(const CheckpointReader&) = delete;

  [[nodiscard]] const CheckpointState& state() const;
  [[nodiscard]] std::vector<LogicalTensor> tensors(
      const std::string& group_path) const;  // names below /model, ...
  [[nodiscard]] bool has(const std::string& path) const;
  // Reads each rank's pieces and nothing else, but for blocks that no rank reads whole: one of the
  // ranks reads them to check their hash. A tensor that every rank wants whole is read by one and
  // broadcast. Checks shapes, converts f32 <-> f64. Collective.
  void read(const std::vector<CheckpointTensor>& tensors);
  // Reads the whole file, each rank a share, and checks every hash. Collective.
  void verify();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Newest readable checkpoint named step-<n>.h5 in the given directories (newest attempt first);
// damaged ones are skipped with a warning in `skipped`. Collective over the group.
[[nodiscard]] std::optional<std::string> newest_checkpoint(
    Group& group, const std::vector<std::string>& directories, std::vector<std::string>* skipped);

}  // namespace finescale
