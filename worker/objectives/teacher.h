// SPDX-License-Identifier: Apache-2.0
// A frozen model that another one learns from: what the head needs of it for the micro-batches of a
// step. One main thread per rank calls; calls are collective over the mesh unless they say
// otherwise.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/divergence.h"
#include "worker/eval/eval_model.h"

namespace finescale {

class Teacher {
 public:
  // Of batches of at most so many micro-batches and tokens in each. The model must outlive it.
  Teacher(EvalModel& model, const DivergenceRule& rule, std::int64_t max_micro_batches,
          std::int64_t max_tokens);

  // Goes through the micro-batches of a step that are this rank's and keeps what is in front of the
  // head for their labelled tokens, and the head itself until let_go().
  void see(const std::vector<MicroBatch>& batch, std::span<const std::int64_t> mine);
  void let_go();
  // Of a micro-batch of the batch seen; local.
  [[nodiscard]] TeacherRows rows(const MicroBatch& micro_batch) const;

  [[nodiscard]] const DecoderShape& shape() const { return last().layout().shape(); }
  [[nodiscard]] std::size_t memory_bytes() const;  // of its passes, and what it keeps

 private:
  [[nodiscard]] const Transformer& last() const { return *model_->pieces().back().model; }
  [[nodiscard]] bool has_head() const { return last().layout().part().has_head; }
  void keep(const MicroBatch& micro_batch, const TensorView& states);

  EvalModel* model_;
  DivergenceRule rule_;
  std::int64_t max_tokens_;
  std::int64_t width_;
  AlignedBuffer states_;              // [most tokens of a rank, C] where the head is
  std::vector<MicroBatch> unscored_;  // this rank's of the batch, in memory that stays
  const MicroBatch* first_ = nullptr;
  std::vector<std::int64_t> begins_;  // by micro-batch, rows of states_; -1: another rank's
  std::int64_t num_kept_ = 0;
};

}  // namespace finescale
