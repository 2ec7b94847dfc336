// SPDX-License-Identifier: Apache-2.0
#include "worker/train_loop.h"

#include <chrono>
#include <cmath>
#include <vector>

#include "sharding/gradient_tree.h"
#include "worker/accounting.h"
#include "worker/optim/schedule.h"

namespace finescale {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

constexpr double kSaveSeconds =
    60;  // lost work when a gang dies, against the cost of writing (save_every: 0)

double squared_lengths(const GlobalBatch& batch) {
  double sum = 0;
  for (const MicroBatch& micro : batch.micro_batches) {
    for (std::size_t s = 0; s + 1 < micro.segments.size(); ++s) {
      const double length = micro.segments[s + 1] - micro.segments[s];
      sum += length * length;
    }
  }
  return sum;
}

class Loop {
 public:
  Loop(const TrainParts& parts, TrainProgress& progress)
      : parts_(parts),
        progress_(progress),
        config_(*parts.config),
        data_(parts.mesh->data()),
        tree_(data_, parts.method->trainable().num_elements(), parts.method->trainable().dtype(),
              parts.loader->max_micro_batches()) {}

  TrainOutcome run() {
    const std::int64_t num_steps = parts_.loader->num_steps();
    last_save_ = Clock::now();
    while (progress_.step < num_steps) {
      const Clock::time_point begin = Clock::now();
      parts_.loader->fill(progress_.step, batch_);
      const double loss = forward_backward();
      const TensorView gradient = tree_.reduce(stream_);  // collective over data
      const double rate = learning_rate_at(config_, progress_.step + 1, num_steps);
      const double norm = std::isfinite(loss)
                              ? parts_.optimizer->update(stream_, parts_.method->trainable(),
                                                         gradient, progress_.step + 1, rate)
                              : loss;
      if (!std::isfinite(loss) || !std::isfinite(norm)) {  // the same bits on every rank: all agree
        return TrainOutcome::kDiverged;
      }
      record(loss, rate, norm, seconds_since(begin));
      const bool last = progress_.step == num_steps;
      maybe_evaluate();
      const bool stop =
          parts_.pulse(loss, static_cast<double>(batch_.num_tokens) / seconds_since(begin));
      if (stop && !last) {
        parts_.save(progress_);
        return TrainOutcome::kStopped;
      }
      maybe_save(last);
    }
    return TrainOutcome::kDone;
  }

 private:
  // Loss per labelled token of the global batch; leaves this rank's gradients in the tree.
  // Collective over data.
  double forward_backward() {
    const auto count = static_cast<std::int64_t>(batch_.micro_batches.size());
    const MicroBatchRange mine = micro_batches_of(count, data_.rank(), data_.size());
    const double scale = 1.0 / static_cast<double>(batch_.num_labels);
    tree_.begin(count);
    sums_.clear();
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      parts_.method->trainable().split(tree_.next_leaf(stream_), blocks_);
      parts_.model->bind_gradient(parts_.method->bind_gradient(blocks_));
      sums_.push_back(
          parts_.model->forward_backward(batch_.micro_batches[static_cast<std::size_t>(i)],
                                         parts_.loader->max_micro_batch_tokens(), scale));
      tree_.finish_leaf(stream_);
    }
    return ordered_sum(data_, count, sums_) * scale;
  }

  void record(double loss, double rate, double norm, double seconds) {
    ++progress_.step;
    progress_.tokens += batch_.num_tokens;
    progress_.labels += batch_.num_labels;
    progress_.examples += batch_.num_examples;
    progress_.seconds += seconds;
    progress_.flops +=
        train_flops(parts_.model->layout(), parts_.method->trains_base(),
                    parts_.method->trains_base() ? 0 : parts_.method->trainable().num_elements(),
                    batch_.num_tokens, batch_.num_labels, squared_lengths(batch_));
    if (progress_.step % config_.log_every() == 0 || progress_.step == parts_.loader->num_steps()) {
      proto::StepRow& row = *progress_.rows.add_steps();
      row.set_step(progress_.step);
      row.set_tokens(batch_.num_tokens);
      row.set_labels(batch_.num_labels);
      row.set_loss(loss);
      row.set_lr(rate);
      row.set_grad_norm(norm);
      row.set_seconds(seconds);
    }
  }

  void maybe_evaluate() {
    if (config_.eval_every() == 0 || progress_.step % config_.eval_every() != 0) {
      return;
    }
    const double loss = parts_.evaluate(progress_);
    if (config_.keep() == config::KEEP_BEST &&
        (!progress_.best_loss || loss < *progress_.best_loss)) {
      progress_.best_loss = loss;
      progress_.best_step = progress_.step;
      parts_.keep_best();
    }
  }

  void maybe_save(bool last) {
    if (last) {
      return;  // the artifact follows
    }
    bool due = config_.save_every() > 0 && progress_.step % config_.save_every() == 0;
    if (config_.save_every() ==
        0) {  // rank 0's clock decides for all; asked rarely, so that steps do not wait
      if (progress_.step % kClockSteps != 0) {
        return;
      }
      due = parts_.mesh->world().any(parts_.mesh->world().rank() == 0 &&
                                     seconds_since(last_save_) > kSaveSeconds);
    }
    if (due) {
      parts_.save(progress_);
      last_save_ = Clock::now();
    }
  }

  static constexpr std::int64_t kClockSteps = 16;

  const TrainParts& parts_;
  TrainProgress& progress_;
  const config::Train& config_;
  Group& data_;
  Stream stream_;
  GradientTree tree_;
  UnitBlocks blocks_;
  GlobalBatch batch_;
  std::vector<double> sums_;
  Clock::time_point last_save_;
};

}  // namespace

TrainOutcome run_train_loop(const TrainParts& parts, TrainProgress& progress) {
  return Loop(parts, progress).run();
}

}  // namespace finescale
