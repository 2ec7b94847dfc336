// SPDX-License-Identifier: Apache-2.0
// One piece of a model while it trains: the transformer on the base's values, the method's
// parameters, and where their gradients are summed. The main thread of a rank calls.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "configs/schema/train.pb.h"
#include "sharding/gradient_reducer.h"
#include "worker/base_model.h"
#include "worker/memory_use.h"
#include "worker/methods/method.h"
#include "worker/owned_parameters.h"
#include "worker/unit_events.h"

namespace finescale {

class Trainable {
 public:
  // base must outlive it. Collective over the mesh.
  Trainable(const Engine& engine, BasePiece& base, const config::Train& train, std::int64_t seed,
            std::int64_t max_micro_batches);
  ~Trainable() = default;
  Trainable(const Trainable&) = delete;  // hooks point here
  Trainable& operator=(const Trainable&) = delete;

  [[nodiscard]] Transformer& model() noexcept { return *model_; }
  [[nodiscard]] Method& method() noexcept { return *method_; }
  [[nodiscard]] const ParameterSet& trainable() const { return method_->trainable(); }
  // Whether this unit of the base trains.
  [[nodiscard]] bool trains_unit(int unit) const {
    return method_->trains_base() && method_->trains_unit(unit);
  }
  [[nodiscard]] BasePiece& base() noexcept { return *base_; }
  [[nodiscard]] OwnedParameters& owned() noexcept { return *owned_; }

  // A step: begin_step gives the micro-batches of this rank; for each { open; the model's passes;
  // close }; then finish_step, and the gradients of what is owned are summed. Ranks without a
  // micro-batch in a round call idle_forward and idle_backward instead.
  std::span<const std::int64_t> begin_step(std::int64_t num_micro_batches);
  [[nodiscard]] std::int64_t num_rounds() const { return reducer_->num_rounds(); }
  void open();
  void close();
  void idle_forward();
  void idle_backward();
  void idle_eval() { follow(eval_events_.forward); }  // of an evaluation
  void finish_step();
  void update(const Stream& stream, const UpdateStep& step);
  // After publish(): the method may choose other elements, and state follows them. Collective as it
  // is, and over the shard axis.
  void choose_anew(std::int64_t step);
  // What was updated reaches the other ranks of the shard axis. Collective over it, and over the
  // tensor group.
  void publish();

  // An embedding that is also the head lies on the first and on the last pipeline rank. The last
  // one sums its gradient: the head's part is made first, in a buffer, and complete when the rows
  // of the first rank have come, some micro-batches later.
  [[nodiscard]] bool has_head_copy() const noexcept { return head_reducer_ != nullptr; }
  [[nodiscard]] bool lends_embedding() const noexcept { return is_lent(0); }
  void make_head_buffers(int count);          // micro-batches that wait for rows at once
  void begin_head(std::int64_t micro_batch);  // in front of open()
  void finish_head(std::int64_t micro_batch, const Tape::EmbeddingRows& rows);
  void idle_head() { head_reducer_->idle_round(); }
  // What both ranks keep of the common table: the last one's is updated, the first one's follows.
  [[nodiscard]] TensorView common_table();

  void add_memory(MemoryUse& use) const;  // of this piece but for its tapes

 private:
  void enter(int unit, bool backward);
  void leave(int unit, bool backward);
  void follow(const std::vector<UnitEvent>& events);
  void close_head_copy();
  void make_plans();
  void make_adapter_store(const Engine& engine);
  [[nodiscard]] UnitEvents training_events() const;
  [[nodiscard]] BackwardUnits backward_units() const;
  void make_model(const Engine& engine);
  [[nodiscard]] std::vector<TrainedUnit> trained_units() const;
  // The unit whose gradient the last pipeline rank sums.
  [[nodiscard]] bool is_lent(int unit) const noexcept;
  [[nodiscard]] bool is_head_copy(int unit) const noexcept {
    return has_head_copy() && unit == plan_->num_units() - 1;
  }
  [[nodiscard]] TensorView head_buffer(std::int64_t micro_batch) const;

  Mesh* mesh_;
  Stream stream_;
  BasePiece* base_;
  std::int64_t max_micro_batches_;
  int stage_ = 0;  // ZeRO, of what trains
  std::unique_ptr<Method> method_;
  std::unique_ptr<ShardPlan> plan_;       // of what is summed as layers are
  std::unique_ptr<ShardPlan> head_plan_;  // of the head's copy
  std::unique_ptr<ParameterStore> adapter_store_;
  ParameterStore* store_ = nullptr;  // of what trains
  std::unique_ptr<GradientReducer> reducer_;
  std::unique_ptr<GradientReducer> head_reducer_;
  std::unique_ptr<RoundedWeights> rounded_;  // beside the base's values; null: none
  std::unique_ptr<Transformer> model_;
  std::unique_ptr<OwnedParameters> owned_;
  UnitEvents events_;
  UnitEvents eval_events_;
  std::vector<AlignedBuffer> head_buffers_;
  UnitBlocks blocks_;  // with the head's buffer
  bool is_idle_ = false;
};

// Values of a piece: what is kept and the places of what is gathered.
void add_values(const BasePiece& piece, MemoryUse& use);

}  // namespace finescale
