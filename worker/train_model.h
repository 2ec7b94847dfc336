// SPDX-License-Identifier: Apache-2.0
// A model while it trains, over all pieces of this rank: passes, the gradient's norm, the update,
// and what a checkpoint holds of it. One main thread per rank calls; every call that computes is
// collective over the mesh.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "configs/schema/train.pb.h"
#include "core/transfer.h"
#include "worker/data/loader.h"
#include "worker/eval/eval_model.h"
#include "worker/gradient_norm.h"
#include "worker/objectives/pair_loss.h"
#include "worker/objectives/teacher.h"
#include "worker/pipeline.h"
#include "worker/trainable.h"

namespace finescale {

class TrainModel {
 public:
  // base: changed by full fine-tuning, else left as it is; must outlive it.
  TrainModel(const Engine& engine, BaseModel& base, const config::Train& train, std::int64_t seed,
             const TrainLoader& loader);
  ~TrainModel() = default;
  TrainModel(const TrainModel&) = delete;
  TrainModel& operator=(const TrainModel&) = delete;

  // What an objective with a reference compares with; must outlive it.
  void set_reference(const ReferenceScores* reference) noexcept { reference_ = reference; }
  // What a distilling objective learns from; must outlive it.
  void set_teacher(Teacher* teacher);
  [[nodiscard]] const Teacher* teacher() const noexcept { return teacher_; }
  // What the sum of a batch's losses is divided by: its labelled tokens or pairs, each by its
  // weight; a batch of which nothing counts has the loss 0.
  [[nodiscard]] double num_terms(const GlobalBatch& batch) const {
    const double terms = objective_->needs_pairs() ? batch.pair_weight : batch.label_weight;
    return terms > 0 ? terms : 1;
  }
  // Which update the next passes are for, from 1.
  void begin_step(std::int64_t step);
  // Sum of the weighted losses of all labelled tokens or pairs; the gradient of scale x that sum is
  // kept for the update. The same bits on every rank, and on every mesh of equal tensor size.
  [[nodiscard]] double forward_backward(const GlobalBatch& batch, double scale);
  // The Euclidean norm of the whole gradient, which update() clips by. Once per step: it also
  // completes sums over copies. A GPU's work is enqueued.
  void find_gradient_norm();
  // Where the norm is not finite everything stays as it is.
  void update(std::int64_t step, double learning_rate);
  // What find_gradient_norm() found. The host waits for a GPU to find it; behind update(), the GPU
  // goes on with that meanwhile.
  [[nodiscard]] double gradient_norm() { return norm_.value(); }

  [[nodiscard]] EvalModel& eval() noexcept { return *eval_; }
  [[nodiscard]] const Stream& stream() const noexcept { return engine_.stream; }
  [[nodiscard]] const ModelLayout& layout() const noexcept {
    return pieces_.front()->base().layout;
  }
  [[nodiscard]] Method& method() const noexcept { return pieces_.front()->method(); }
  // Trainable parameters of the whole model.
  [[nodiscard]] std::int64_t num_trainable() const noexcept { return num_trainable_; }

  // The weights so far become the best so far; they come back with use_best.
  void keep_best();
  void use_best();
  // Whether a mean over the updates is kept; the weights become it.
  [[nodiscard]] bool averages() const noexcept { return average_.has_value(); }
  void use_average();

  // /model or /adapter, and for a resume the moments below /optimizer, a mean below /average and
  // with best /best: this rank's share, to be written, or all that it must read. Then have_written
  // or have_read.
  [[nodiscard]] std::vector<CheckpointTensor> share_for_writing(bool for_resume, bool with_best);
  [[nodiscard]] std::vector<CheckpointTensor> owned_for_reading(bool with_best);
  // For other programs: the weights that do not train, and after find_gradient_norm() the
  // gradients.
  [[nodiscard]] std::vector<CheckpointTensor> base_for_writing();
  [[nodiscard]] std::vector<CheckpointTensor> gradients(const std::string& group);
  [[nodiscard]] std::size_t activation_bytes() const { return pipeline_.memory_bytes(); }
  // All of its buffers, which only grow.
  [[nodiscard]] MemoryUse memory() const;
  void have_read();  // what was read reaches the ranks that hold copies
  void have_written();

 private:
  [[nodiscard]] std::vector<CheckpointTensor> tensors(OwnedParameters::Extent extent,
                                                      bool for_resume, bool with_best);
  [[nodiscard]] std::vector<CheckpointTensor> constants(Trainable& piece,
                                                        OwnedParameters::Extent extent) const;
  [[nodiscard]] std::vector<CheckpointTensor> frozen(Trainable& piece) const;
  void publish();  // new values reach the ranks that hold copies
  void share_embedding();
  void mix(std::int64_t step);

  Engine engine_;
  std::unique_ptr<Objective> objective_;
  const ReferenceScores* reference_ = nullptr;
  Teacher* teacher_ = nullptr;
  std::optional<Baselines> baselines_;  // of the batch of this step
  std::int64_t max_tokens_ = 0;         // of a micro-batch
  std::vector<std::unique_ptr<Trainable>> pieces_;
  GradientNorm norm_;
  Pipeline pipeline_;
  std::unique_ptr<EvalModel> eval_;
  std::vector<HostCopy> host_copies_;  // of a GPU's tensors, while a checkpoint is read or written
  std::vector<AlignedBuffer> best_;    // by piece; made when first kept or read
  std::optional<config::Average> average_;
  std::vector<AlignedBuffer> means_;  // by piece
  std::int64_t num_steps_ = 0;
  std::int64_t num_trainable_ = 0;
  bool shares_embedding_ = false;
};

}  // namespace finescale
