// SPDX-License-Identifier: Apache-2.0
// How weights change: which parameters train and what the base sees of them. One .cpp per method,
// registry.cpp lists them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "configs/schema/train.pb.h"
#include "worker/methods/base_weights.h"
#include "worker/model/transformer.h"

namespace finescale {

// How far a tensor moves in an update, compared with what the update rule says.
struct StepScale {
  double rate = 1;                    // the learning rate is multiplied by it
  std::span<const double> rows = {};  // the change of each row of the local part; empty: ones
  [[nodiscard]] bool is_one() const noexcept { return rate == 1 && rows.empty(); }
};

class Method {
 public:
  virtual ~Method() = default;

  // The trainable parameters: for full fine-tuning the weights themselves, else the method's own.
  // Their units are the base's, one by one, and may be empty.
  [[nodiscard]] virtual ParameterSet& trainable() = 0;
  // What else belongs to the method but does not follow from gradients; null: nothing. Whole on
  // every rank, saved beside what trains.
  [[nodiscard]] virtual ParameterSet* constants() { return nullptr; }
  // The trainable values lie in these blocks from here on, at addresses that stay.
  virtual void bind_values(const UnitBlocks& blocks) = 0;
  // The trainable values have changed: after they were bound, read, or updated. Collective over
  // the shard and the tensor group.
  virtual void values_changed() {}
  // Points the model at the trainable parameters' gradient blocks for the next backward pass;
  // returns what to give Transformer::bind_gradient (empty: the base is frozen).
  virtual const UnitBlocks& bind_gradient(const UnitBlocks& blocks) = 0;
  // Adapters the model must use, also for evaluation; empty when the base itself carries the
  // change.
  [[nodiscard]] virtual ModelAdapters adapters() const = 0;
  // For the update that follows; of a tensor of trainable().
  [[nodiscard]] virtual StepScale step_scale(int /*tensor*/) const { return {}; }
  // Group of the checkpoint that holds the trainable tensors: "/model" or "/adapter".
  [[nodiscard]] virtual const char* checkpoint_group() const = 0;
  // Whether trainable() is the base itself.
  [[nodiscard]] virtual bool trains_base() const = 0;
  // Whether the base's values change: a copy of it trains, and what is left is a whole model.
  [[nodiscard]] virtual bool changes_base() const { return trains_base(); }
  // Whether a tensor of the base trains, or some of its elements.
  [[nodiscard]] virtual bool trains_tensor(int /*tensor*/) const { return false; }
  // Where changes_base() without trains_base(): where gradients of the base's tensors go, as bound
  // last; see Transformer::bind_gradients.
  [[nodiscard]] virtual const std::vector<TensorGradient>* gradients() const { return nullptr; }
  // Where changes_base(): a resume must read the base too, because values stay in it that do not
  // train any more.
  [[nodiscard]] virtual bool restores_base() const { return false; }
  // Which update the passes that follow are for, from 1.
  virtual void begin_step(std::int64_t /*step*/) {}
  // After an update was published: whether other elements train from here on. Then moved_from says
  // of each element of a tensor of trainable() which one it was, or -1, and the optimizer's state
  // follows. Collective over the replica and the tensor group.
  virtual bool choose_anew(std::int64_t /*step*/) { return false; }
  [[nodiscard]] virtual std::span<const std::int64_t> moved_from(int /*tensor*/) const {
    return {};
  }
  // Of frozen matrices that follow from the seed.
  [[nodiscard]] virtual std::size_t seeded_bytes() const { return 0; }
  // Kept of gradients for such a choice.
  [[nodiscard]] virtual std::size_t measured_bytes() const { return 0; }
  // Where trains_base(): whether this unit of the base does; upper layers only, if not all.
  [[nodiscard]] virtual bool trains_unit(int /*unit*/) const { return true; }

 protected:
  Method() = default;
  Method(const Method&) = default;
  Method& operator=(const Method&) = default;
};

// What a method is made for.
struct MethodInput {
  const ModelLayout* layout = nullptr;
  BaseWeights base;
  std::int64_t seed = 0;  // keys fresh adapters, and what follows from it
  bool is_fresh = true;   // false: the values will be read, nothing need be computed for them
};

// Full fine-tuning changes the base's values, others leave them as they are. Collective over the
// shard and the tensor group.
[[nodiscard]] std::unique_ptr<Method> make_method(const config::Method& config,
                                                  const MethodInput& input);
// Of a set that holds its own values.
[[nodiscard]] std::unique_ptr<Method> make_method(const config::Method& config,
                                                  const ModelLayout& layout, ParameterSet& base,
                                                  std::int64_t seed);

// s of the low-rank branch s B A; 1 where there is none.
[[nodiscard]] double adapter_scale(const config::Method& config);

// How the base of the method is kept; nothing: in full.
[[nodiscard]] std::optional<Quantisation> quantisation_of(const config::Method& config);

// Kinds, each defined in its own file.
[[nodiscard]] double lora_scale(const config::Lora& config);
[[nodiscard]] double dora_scale(const config::Dora& config);
[[nodiscard]] std::unique_ptr<Method> make_full(const config::Full& config,
                                                const MethodInput& input);
[[nodiscard]] std::unique_ptr<Method> make_lora(const config::Lora& config,
                                                const MethodInput& input);
[[nodiscard]] std::unique_ptr<Method> make_dora(const config::Dora& config,
                                                const MethodInput& input);
[[nodiscard]] std::unique_ptr<Method> make_allora(const config::Allora& config,
                                                  const MethodInput& input);
[[nodiscard]] std::unique_ptr<Method> make_ia3(const config::Ia3& config, const MethodInput& input);
[[nodiscard]] double qlora_scale(const config::Qlora& config);
[[nodiscard]] Quantisation qlora_quantisation(const config::Qlora& config);
[[nodiscard]] std::unique_ptr<Method> make_qlora(const config::Qlora& config,
                                                 const MethodInput& input);
[[nodiscard]] std::unique_ptr<Method> make_vera(const config::Vera& config,
                                                const MethodInput& input);
// Of VeRA: random matrices A [rank, widest] and B [tallest, rank], row-major.
struct VeraMatrices {
  std::vector<double> a, b;
};
[[nodiscard]] VeraMatrices vera_matrices(std::int64_t seed, std::int64_t rank, std::int64_t widest,
                                         std::int64_t tallest);
[[nodiscard]] std::unique_ptr<Method> make_bottleneck(const config::Bottleneck& config,
                                                      const MethodInput& input);
[[nodiscard]] std::unique_ptr<Method> make_prompt_tuning(const config::PromptTuning& config,
                                                         const MethodInput& input);
[[nodiscard]] std::unique_ptr<Method> make_prefix_tuning(const config::PrefixTuning& config,
                                                         const MethodInput& input);
[[nodiscard]] std::unique_ptr<Method> make_lift(const config::Lift& config,
                                                const MethodInput& input);
// selective and bitfit: of tensors that tensor_choice() names.
[[nodiscard]] std::unique_ptr<Method> make_selective(const config::Method& config,
                                                     const MethodInput& input);

}  // namespace finescale
