// SPDX-License-Identifier: Apache-2.0
#include "worker/objectives/teacher.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/cross_entropy.h"
#include "kernels/reduce.h"

namespace finescale {

Teacher::Teacher(EvalModel& model, const DivergenceRule& rule, std::int64_t max_micro_batches,
                 std::int64_t max_tokens)
    : model_(&model),
      rule_(rule),
      max_tokens_(max_tokens),
      width_(last().layout().shape().hidden_size) {
  const std::int64_t replicas = model.mesh().replica().size();
  const std::int64_t rounds = (max_micro_batches + replicas - 1) / replicas;
  if (has_head()) {
    states_ = AlignedBuffer(static_cast<std::size_t>(rounds * max_tokens * width_) *
                                dtype_size(last().weights().dtype()),
                            model.engine().stream, MemoryPurpose::kActivations);
  }
}

void Teacher::see(const std::vector<MicroBatch>& batch, std::span<const std::int64_t> mine) {
  first_ = batch.data();
  begins_.assign(batch.size(), -1);
  num_kept_ = 0;
  // Nothing is scored: the head's product is made with the pupil's.
  unscored_.resize(batch.size());
  for (const std::int64_t number : mine) {
    const auto index = static_cast<std::size_t>(number);
    unscored_[index] = batch[index];
    std::fill(unscored_[index].labels.begin(), unscored_[index].labels.end(), kIgnoreLabel);
  }
  model_->visit_states(unscored_, mine, max_tokens_,
                       [&](std::int64_t number, const TensorView& states) {
                         const auto index = static_cast<std::size_t>(number);
                         begins_[index] = num_kept_;
                         keep(batch[index], states);
                       });
  if (has_head() && last().hooks().enter) {
    last().hooks().enter(last().head_unit(), false);
  }
}

void Teacher::keep(const MicroBatch& micro_batch, const TensorView& states) {
  const auto is_scored = [&](std::int64_t t) {
    return micro_batch.labels[static_cast<std::size_t>(t)] != kIgnoreLabel;
  };
  for (std::int64_t t = 0; t < states.rows();) {
    std::int64_t end = t;
    while (end < states.rows() && is_scored(end)) {
      ++end;
    }
    if (end > t) {
      const TensorView place(
          static_cast<std::byte*>(states_.data()) +
              static_cast<std::size_t>(num_kept_ * width_) * dtype_size(states.dtype),
          states.dtype, Shape{end - t, width_});
      copy(model_->engine().stream, states.row_range(t, end), place);
      num_kept_ += end - t;
    }
    t = std::max(end, t + 1);
  }
}

void Teacher::let_go() {
  if (has_head() && last().hooks().leave) {
    last().hooks().leave(last().head_unit(), false);
  }
}

TeacherRows Teacher::rows(const MicroBatch& micro_batch) const {
  const auto index = static_cast<std::size_t>(&micro_batch - first_);
  FS_CHECK(index < begins_.size() && begins_[index] >= 0, "a micro-batch that nobody has seen");
  const DType dtype = last().weights().dtype();
  const Weight& head = last().head();
  TeacherRows rows;
  rows.rule = rule_;
  rows.x = TensorView(static_cast<std::byte*>(states_.data()) +
                          static_cast<std::size_t>(begins_[index] * width_) * dtype_size(dtype),
                      dtype, Shape{micro_batch.num_labels, width_});
  rows.weight = head.factor();
  rows.bias = head.bias;
  return rows;
}

std::size_t Teacher::memory_bytes() const {
  return model_->memory_bytes() + states_.size_bytes();
}

}  // namespace finescale
