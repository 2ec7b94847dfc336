// SPDX-License-Identifier: Apache-2.0
#include "worker/piece_channels.h"

#include "core/error.h"

namespace finescale {

// States go up and gradients down, around from the last rank to the first only between chunks; rows
// of the embedding's gradient go from the first piece to the last, the finished table back.
PieceChannels::PieceChannels(Group& pipeline, int chunks) {
  const int ranks = pipeline.size();
  const int last = ranks - 1;
  for (int rank = 0; rank < (chunks > 1 ? ranks : last); ++rank) {
    const int next = (rank + 1) % ranks;
    links_.push_back({rank, next, PieceMessage::kState, nullptr});
    links_.push_back({next, rank, PieceMessage::kGradient, nullptr});
  }
  links_.push_back({0, last, PieceMessage::kRows, nullptr});
  links_.push_back({last, 0, PieceMessage::kRows, nullptr});
  for (Link& link : links_) {
    link.channel = open_gpu_channel(pipeline, link.from, link.to);
  }
}

GpuChannel& PieceChannels::get(int from, int to, PieceMessage kind) const {
  for (const Link& link : links_) {
    if (link.from == from && link.to == to && link.kind == kind && link.channel != nullptr) {
      return *link.channel;
    }
  }
  throw Error(ErrorKind::kInternal, "no channel between these pieces");
}

}  // namespace finescale
