// SPDX-License-Identifier: Apache-2.0
// What the ranks of a stage have in common: the mesh, its levers, and the threads that communicate.
#pragma once

#include <optional>
#include <string>

#include "comm/comm_queue.h"
#include "sharding/mesh.h"
#include "worker/model/tape.h"
#include "worker/piece_channels.h"

namespace finescale {

// Sends between pieces, each in the order in which its receiver takes them: one that waits for its
// receiver holds up none that another needs first.
struct MessageQueues {
  explicit MessageQueues(CommMonitor* monitor)
      : states(monitor), gradients(monitor), rows(monitor) {}
  CommQueue states;
  CommQueue gradients;
  CommQueue rows;  // of the tied embedding's gradient
};

struct Engine {
  Mesh* mesh = nullptr;
  int zero_stage = 0;  // 0 unless the shard axis is larger than 1
  int chunks = 1;      // pieces of the model on each pipeline rank
  Recompute recompute = Recompute::kNone;
  bool host_moments = false;           // in the host's memory; on the CPU they always are
  std::optional<std::string> scratch;  // directory of the file of moments; none: in memory
  Stream stream = Stream();            // where this rank's kernels run
  CommQueue* reductions = nullptr;     // gradients and gathered units; null: nothing overlaps
  MessageQueues* messages = nullptr;   // null with one pipeline rank
  PieceChannels* channels = nullptr;   // null but on GPUs with more

  [[nodiscard]] int num_pieces() const noexcept { return mesh->shape().pipeline * chunks; }
};

}  // namespace finescale
