// SPDX-License-Identifier: Apache-2.0
// The decoders of this rank's pieces of a model; one step goes through the pieces of all ranks.
// Collective over the tensor and pipeline groups, and where units are gathered over the shard
// group.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "worker/eval/decoder.h"
#include "worker/eval/eval_model.h"

namespace finescale {

class PieceDecoders {
 public:
  PieceDecoders(EvalModel& model, const DecoderLimits& limits);
  ~PieceDecoders();
  PieceDecoders(const PieceDecoders&) = delete;
  PieceDecoders& operator=(const PieceDecoders&) = delete;

  // next[i] becomes the token after output i of the batch, on every rank: `pick` chooses it where
  // the last piece is.
  using Pick = std::function<void(Decoder& last, std::span<std::int32_t> next)>;
  void step(const DecoderBatch& batch, const Pick& pick, std::span<std::int32_t> next);
  void release(int sequence);
  [[nodiscard]] std::size_t cache_bytes() const;

 private:
  // `begin` gives each decoder its rows, `end` has the last one.
  void pass(const std::function<void(Decoder& decoder)>& begin,
            const std::function<void(Decoder& last)>& end);

  PieceLinks links_;
  Group* pipeline_;
  std::vector<std::unique_ptr<Decoder>> decoders_;
  std::vector<PieceLinks::Sent> sent_;
  std::int64_t step_ = 0;
};

}  // namespace finescale
