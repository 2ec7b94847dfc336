// SPDX-License-Identifier: Apache-2.0
// How parameters follow from their gradients. One .cpp per rule, registry.cpp lists them. Rules
// work element by element over the ranges of parameters that a rank updates, or on whole tensors,
// so no bit depends on the cut.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "configs/schema/train.pb.h"
#include "core/device.h"
#include "core/tensor.h"
#include "kernels/packed_moments.h"
#include "kernels/step_factors.h"
#include "sharding/layout.h"
#include "worker/optim/step_table.h"

namespace finescale {

// Flat views of equal length.
struct UpdateRange {
  TensorView value;
  TensorView gradient;
  TensorView m;  // the rule's state in the order of its slots, f32 or f64, as the value
  TensorView v;
  bool is_matrix = true;                     // weight decay may leave norms alone
  std::optional<PackedMoments> packed = {};  // instead of m and v
  std::uint32_t rounding_key = 0;            // of moments in bf16: for this tensor and step
  double rate = 1;                           // multiplies the learning rate
};

struct UpdateStep {
  std::int64_t step = 1;     // from 1
  double learning_rate = 0;  // of the schedule
  double norm = 0;           // of the whole gradient, over all ranks; clips
  // On a GPU instead: where kernels find the norm. When it is not finite nothing moves.
  const double* norm_in_memory = nullptr;
};

class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  // What it keeps of every element, at most two: names in a checkpoint.
  [[nodiscard]] virtual std::vector<std::string> slots() const = 0;
  void update(const Stream& stream, std::span<const UpdateRange> ranges,
              const UpdateStep& step) const;
  // Whether matrices and vectors are treated alike, so that neighbours may be one range.
  [[nodiscard]] bool is_uniform() const noexcept { return weight_decay_ == 0 || decay_all_; }

  // Rules whose steps depend on whole tensors: for those, instead of update(), gather() with every
  // range of one, which leaves what the step follows from in the place of the gradient;
  // make_direction() of all of it, on every rank alike; and apply() with ranges of that as
  // gradient.
  [[nodiscard]] virtual bool takes_whole(const LogicalTensor& /*tensor*/) const { return false; }
  void gather(const Stream& stream, const UpdateRange& range, const UpdateStep& step) const;
  // state: of the tensor, in the order of whole_slots.
  virtual void make_direction(const Stream& /*stream*/, const TensorView& /*whole*/,
                              std::span<const TensorView> /*state*/,
                              const UpdateStep& /*step*/) const {}
  // What it keeps of such a tensor on every rank, beside the slots: names in a checkpoint.
  struct WholeSlot {
    std::string name;
    Shape shape;
  };
  [[nodiscard]] virtual std::vector<WholeSlot> whole_slots(const LogicalTensor& /*tensor*/) const {
    return {};
  }
  void apply(const Stream& stream, const UpdateRange& range, const UpdateStep& step) const;
  [[nodiscard]] virtual std::size_t scratch_bytes() const { return 0; }

 protected:
  explicit UpdateRule(const config::Train& train)
      : weight_decay_(train.weight_decay()),
        clip_norm_(train.clip_norm()),
        decay_all_(train.decay_on() == config::DECAY_ON_ALL) {}
  UpdateRule(const UpdateRule&) = delete;
  UpdateRule& operator=(const UpdateRule&) = delete;

  // What holds for one range.
  struct Factors {
    std::int64_t step = 1;
    double learning_rate = 0;
    double weight_decay = 0;
    double gradient_scale = 1;
    const void* in_memory = nullptr;  // on a GPU: the row of step_factors
  };
  // On a GPU: what the kernels of update_range read of a range, in its memory.
  [[nodiscard]] virtual StepFactors<double> step_factors(const UpdateRange& range,
                                                         const Factors& factors) const;
  virtual void update_range(const Stream& stream, const UpdateRange& range,
                            const Factors& factors) const = 0;
  virtual void gather_range(const Stream& /*stream*/, const UpdateRange& /*range*/,
                            const Factors& /*factors*/) const {}
  virtual void apply_range(const Stream& /*stream*/, const UpdateRange& /*range*/,
                           const Factors& /*factors*/) const {}

 private:
  [[nodiscard]] Factors factors_of(const UpdateRange& range, const UpdateStep& step) const;

  double weight_decay_;
  double clip_norm_;
  bool decay_all_;
  mutable std::vector<StepFactors<double>> rows_;  // reused
  mutable StepTable table_;
};

[[nodiscard]] std::unique_ptr<UpdateRule> make_update_rule(const config::Train& train);

// Kinds, each defined in its own file.
[[nodiscard]] std::unique_ptr<UpdateRule> make_adamw(const config::Train& train);
[[nodiscard]] std::unique_ptr<UpdateRule> make_sgd(const config::Train& train);
[[nodiscard]] std::unique_ptr<UpdateRule> make_lion(const config::Train& train);
[[nodiscard]] std::unique_ptr<UpdateRule> make_muon(const config::Train& train);
[[nodiscard]] std::unique_ptr<UpdateRule> make_adafactor(const config::Train& train);

}  // namespace finescale
