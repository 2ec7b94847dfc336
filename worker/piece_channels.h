// SPDX-License-Identifier: Apache-2.0
// The channels between the GPUs of a pipeline: one for every kind of message and direction, so that
// none waits behind another.
#pragma once

#include <memory>
#include <vector>

#include "comm/gpu_channel.h"

namespace finescale {

enum class PieceMessage { kState = 0, kGradient = 1, kRowIds = 2, kRows = 3 };

class PieceChannels {
 public:
  // chunks: pieces of the model on each rank. Collective over the pipeline, which must outlive it.
  PieceChannels(Group& pipeline, int chunks);

  // Throws kInternal when there is none between these ranks.
  [[nodiscard]] GpuChannel& get(int from, int to, PieceMessage kind) const;

 private:
  struct Link {  // between two ranks, in one direction
    int from = 0;
    int to = 0;
    PieceMessage kind = PieceMessage::kState;
    std::unique_ptr<GpuChannel> channel;  // null on the other ranks
  };
  std::vector<Link> links_;
};

}  // namespace finescale
