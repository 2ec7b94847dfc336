// SPDX-License-Identifier: Apache-2.0
#include "worker/train_loop.h"

#include <cmath>

#include "comm/trace.h"
#include "core/stopwatch.h"
#include "worker/accounting.h"
#include "worker/optim/schedule.h"

namespace finescale {

namespace {

constexpr double kSaveSeconds =
    60;  // lost work when a gang dies, against the cost of writing (save_every: 0)

double sum_attended(const DecoderShape& shape, const GlobalBatch& batch) {
  double sum = 0;
  for (const MicroBatch& micro : batch.micro_batches) {
    for (std::size_t s = 0; s + 1 < micro.segments.size(); ++s) {
      sum += attended(shape, micro.segments[s + 1] - micro.segments[s]);
    }
  }
  return sum;
}

class TrainLoop {
 public:
  TrainLoop(const TrainParts& parts, TrainProgress& progress)
      : parts_(parts), progress_(progress), config_(*parts.config) {}

  TrainOutcome run() {
    const std::int64_t num_steps = parts_.loader->num_steps();
    last_save_.restart();
    while (progress_.step < parts_.end) {
      const Stopwatch watch;
      const std::optional<double> loss = take_step(num_steps);
      if (!loss) {
        return TrainOutcome::kDiverged;
      }
      const bool last = progress_.step == parts_.end;
      maybe_evaluate();
      const bool stop =
          parts_.pulse(*loss, static_cast<double>(batch_.num_tokens) / watch.seconds());
      if (stop && !last) {
        parts_.save(progress_);
        return TrainOutcome::kStopped;
      }
      maybe_save(last);
    }
    return TrainOutcome::kDone;
  }

 private:
  // The mean loss of the step's batch; nothing when it is not finite.
  std::optional<double> take_step(std::int64_t num_steps) {
    const Stopwatch watch;
    const TraceStep step(trace(), progress_.step + 1);
    const GpuRange range(parts_.model->stream(), "step", progress_.step + 1);
    parts_.loader->fill(progress_.step, batch_);
    const double scale = 1.0 / parts_.model->num_terms(batch_);
    parts_.model->begin_step(progress_.step + 1);
    const double loss = parts_.model->forward_backward(batch_, scale) * scale;
    if (!std::isfinite(loss)) {  // the same bits on every rank: all agree
      return std::nullopt;
    }
    parts_.model->find_gradient_norm();
    const double rate = learning_rate_at(config_, progress_.step + 1, num_steps);
    {
      const TraceSpan span(trace(), "optimizer", progress_.step + 1);
      parts_.model->update(progress_.step + 1, rate);
    }
    const double norm = parts_.model->gradient_norm();
    if (!std::isfinite(norm)) {  // on all ranks; then nothing has moved
      return std::nullopt;
    }
    record(loss, rate, norm, watch.seconds());
    return loss;
  }

  [[nodiscard]] Trace* trace() const { return parts_.mesh->world().monitor().trace(); }

  void record(double loss, double rate, double norm, double seconds) {
    ++progress_.step;
    progress_.tokens += batch_.num_tokens;
    progress_.labels += batch_.num_labels;
    progress_.examples += batch_.num_examples;
    progress_.seconds += seconds;
    progress_.flops += train_flops(
        parts_.model->layout(), config_.method(),
        parts_.model->method().changes_base() ? 0 : parts_.model->num_trainable(),
        batch_.num_tokens, batch_.num_labels, sum_attended(parts_.model->layout().shape(), batch_));
    if (const Teacher* teacher = parts_.model->teacher()) {
      progress_.flops += forward_flops(teacher->shape(), batch_.num_tokens, batch_.num_labels,
                                       sum_attended(teacher->shape(), batch_));
    }
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
    const TraceSpan span(trace(), "evaluation", progress_.step);
    const double loss = parts_.evaluate(progress_);
    if (config_.keep() == config::KEEP_BEST &&
        (!progress_.best_loss || loss < *progress_.best_loss)) {
      progress_.best_loss = loss;
      progress_.best_step = progress_.step;
      parts_.model->keep_best();
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
                                     last_save_.seconds() > kSaveSeconds);
    }
    if (due) {
      parts_.save(progress_);
      last_save_.restart();
    }
  }

  static constexpr std::int64_t kClockSteps = 16;

  const TrainParts& parts_;
  TrainProgress& progress_;
  const config::Train& config_;
  GlobalBatch batch_;
  Stopwatch last_save_;
};

}  // namespace

TrainOutcome run_train_loop(const TrainParts& parts, TrainProgress& progress) {
  return TrainLoop(parts, progress).run();
}

}  // namespace finescale
