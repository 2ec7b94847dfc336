// SPDX-License-Identifier: Apache-2.0
// LIFT (Liu et al. 2025) and other sparse fine-tuning: of each matrix the elements with the highest
// scores train (mask_policy.h). Their values are a compact copy, gradients are read out of the
// whole one, and the optimizer's state has no more elements than these; after an update they are
// written back. Masks may be chosen anew: an element that stays keeps its state, a new one starts
// without.
#include <algorithm>
#include <cmath>

#include "configs/chosen_tensors.h"
#include "core/random.h"
#include "core/tensor_element.h"
#include "sharding/ordered_reduce.h"
#include "worker/methods/mask_policy.h"
#include "worker/methods/method.h"

namespace finescale {

namespace {

class LiftMethod final : public Method {
 public:
  LiftMethod(const config::Lift& config, const MethodInput& input)
      : config_(config),
        seed_(static_cast<std::uint64_t>(input.seed)),
        base_(input.base),
        values_set_(base_.set->dtype(), base_.set->tensor_rank(), base_.set->tensor_size()),
        places_set_(values_set_.dtype(), values_set_.tensor_rank(), values_set_.tensor_size()),
        gradients_(static_cast<std::size_t>(base_.set->size())) {
    declare();
    values_set_.allocate();
    places_set_.allocate();
    values_set_.split(values_set_.flat(), values_);
    base_.for_each(tensors(), [&, next = std::size_t{0}](int) mutable {
      choose(matrices_[next++], 0, nullptr);
    });
  }

  [[nodiscard]] ParameterSet& trainable() override { return values_set_; }
  [[nodiscard]] ParameterSet* constants() override { return &places_set_; }
  void bind_values(const UnitBlocks& blocks) override { values_ = blocks; }
  void values_changed() override {
    for (const Matrix& m : matrices_) {
      const TensorView values = values_set_.view_in(values_, m.values);
      base_.change(m.base, [&](std::int64_t begin, std::int64_t, const TensorView& kept) {
        scatter_entries(Stream(), entries(m), values, base_.set->local_shape(m.base)[1], begin,
                        kept);
      });
    }
  }
  const UnitBlocks& bind_gradient(const UnitBlocks& blocks) override {
    static const UnitBlocks kByTensor;
    for (Matrix& m : matrices_) {
      TensorGradient& gradient = gradients_[static_cast<std::size_t>(m.base)];
      gradient.value = values_set_.view_in(blocks, m.values);
      gradient.entries = entries(m);
      gradient.sums = measures()
                          ? TensorView(m.sums.data(), DType::kF64, base_.set->local_shape(m.base))
                          : TensorView();
    }
    return kByTensor;
  }
  [[nodiscard]] const std::vector<TensorGradient>* gradients() const override {
    return &gradients_;
  }
  [[nodiscard]] ModelAdapters adapters() const override { return {}; }
  [[nodiscard]] const char* checkpoint_group() const override { return "/adapter"; }
  [[nodiscard]] bool trains_base() const override { return false; }
  [[nodiscard]] bool changes_base() const override { return true; }
  [[nodiscard]] bool restores_base() const override { return true; }
  [[nodiscard]] bool trains_tensor(int tensor) const override {
    return std::any_of(matrices_.begin(), matrices_.end(),
                       [tensor](const Matrix& m) { return m.base == tensor; });
  }
  // With masks of gradients the first update moves nothing: it only measures.
  [[nodiscard]] StepScale step_scale(int /*tensor*/) const override {
    return {.rate = is_first_probe() ? 0.0 : 1.0};
  }

  void begin_step(std::int64_t step) override {
    step_ = step;
    for (Matrix& m : matrices_) {
      std::fill(m.sums.begin(), m.sums.end(), 0.0);
    }
  }
  [[nodiscard]] std::size_t measured_bytes() const override {
    std::size_t bytes = 0;
    for (const Matrix& m : matrices_) {
      bytes += m.sums.size() * sizeof(double);
    }
    return bytes;
  }
  // Collective over the replica and the tensor group.
  bool choose_anew(std::int64_t step) override {
    if (step != step_ || !is_due() || (step == 1 && !needs_gradient(config_.mask()))) {
      return false;
    }
    moved_from_.resize(matrices_.size());
    base_.for_each(tensors(), [&, next = std::size_t{0}](int) mutable {
      Matrix& m = matrices_[next];
      choose(m, step, &moved_from_[next++]);
    });
    return true;
  }
  [[nodiscard]] std::span<const std::int64_t> moved_from(int tensor) const override {
    return moved_from_[static_cast<std::size_t>(tensor)];
  }

 private:
  struct Matrix {
    int base = -1;    // in the base's set
    int values = -1;  // in ours
    std::int64_t count = 0;
    std::vector<double> sums;  // of this rank's part of the gradient, where masks follow from it
  };

  void declare() {
    const ParameterSet& base = *base_.set;
    for (int unit = 0; unit < static_cast<int>(base.units().size()); ++unit) {
      values_set_.begin_unit();
      places_set_.begin_unit();
      for (int tensor = 0; tensor < base.size(); ++tensor) {
        const LogicalTensor& logical = base.tensor(tensor);
        if (base.unit_of(tensor) != unit || !is_lift_target(config_, logical.name)) {
          continue;
        }
        const std::string stem = logical.name.substr(0, logical.name.rfind('.'));
        Matrix m;
        m.base = tensor;
        m.count = lift_count(config_, logical.shape[0], logical.shape[1]);
        m.values = values_set_.declare(stem + "/values", {m.count, 1});
        if (needs_gradient(config_.mask())) {
          m.sums.resize(static_cast<std::size_t>(base.local_shape(tensor).num_elements()));
        }
        places_set_.declare(stem + "/places", {m.count, 2});
        matrices_.push_back(std::move(m));
      }
    }
  }

  [[nodiscard]] std::vector<int> tensors() const {
    std::vector<int> all;
    for (const Matrix& m : matrices_) {
      all.push_back(m.base);
    }
    return all;
  }
  [[nodiscard]] Entries entries(const Matrix& m) const {
    const Shape& offset = base_.set->part(m.base).offset;
    return {places_set_.view(m.values), offset[0], offset[1]};
  }
  [[nodiscard]] bool is_due() const {
    return (config_.has_refresh() && step_ % config_.refresh() == 0) ||
           (step_ == 1 && needs_gradient(config_.mask()));
  }
  [[nodiscard]] bool is_first_probe() const { return step_ == 1 && needs_gradient(config_.mask()); }
  // Whether this update's gradients are summed for a mask.
  [[nodiscard]] bool measures() const { return needs_gradient(config_.mask()) && is_due(); }

  // The sum over all ranks of the gradient of the whole matrix.
  std::vector<double> whole_gradient(const Matrix& m) const {
    const LogicalTensor& tensor = base_.set->tensor(m.base);
    std::vector<double> whole(static_cast<std::size_t>(tensor.shape.num_elements()));
    for_each_run(tensor.shape, base_.set->part(m.base), [&](auto logical, auto local, auto count) {
      std::copy_n(m.sums.begin() + local, count, whole.begin() + logical);
    });
    const TensorView view(whole.data(), DType::kF64, {std::ssize(whole)});
    for (Group* group : {base_.replica, base_.tensor}) {
      if (group != nullptr) {
        ordered_all_reduce(*group, view);
      }
    }
    return whole;
  }

  // from (null: the first choice): for each element chosen where it was among those before, or -1.
  // The base's values of the matrix must be there.
  void choose(Matrix& m, std::int64_t step, std::vector<std::int64_t>* from) {
    const LogicalTensor& tensor = base_.set->tensor(m.base);
    const std::vector<double> whole = whole_tensor(base_, m.base);
    std::vector<double> gradient;
    config::Lift config = config_;
    if (from == nullptr && needs_gradient(config_.mask())) {
      config.set_mask(config::LIFT_MASK_MAGNITUDE);  // until the first update has measured
    } else if (needs_gradient(config_.mask())) {
      gradient = whole_gradient(m);
    }
    const MaskInput input{.values = &whole,
                          .gradient = &gradient,
                          .rows = tensor.shape[0],
                          .cols = tensor.shape[1],
                          .seed = seed_,
                          .stream = name_stream(tensor.name) + static_cast<std::uint64_t>(step)};
    const std::vector<std::int64_t> chosen = highest(mask_scores(config, input), m.count);
    const TensorView places = places_set_.view(m.values);
    const TensorView values = values_set_.view_in(values_, m.values);
    if (from != nullptr) {
      *from = origins(places, chosen, input.cols);
    }
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const auto index = static_cast<std::int64_t>(i);
      set_element(places, 2 * index, static_cast<double>(chosen[i] / input.cols));
      set_element(places, 2 * index + 1, static_cast<double>(chosen[i] % input.cols));
      set_element(values, index, whole[static_cast<std::size_t>(chosen[i])]);
    }
  }

  // Both lists ascend.
  [[nodiscard]] std::vector<std::int64_t> origins(const TensorView& places,
                                                  const std::vector<std::int64_t>& chosen,
                                                  std::int64_t cols) const {
    std::vector<std::int64_t> from(chosen.size(), -1);
    if (config_.reset_state() || is_first_probe()) {
      return from;
    }
    std::int64_t old = 0;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const auto place = [&](std::int64_t index) {
        return static_cast<std::int64_t>(element(places, 2 * index)) * cols +
               static_cast<std::int64_t>(element(places, 2 * index + 1));
      };
      while (old < places.rows() && place(old) < chosen[i]) {
        ++old;
      }
      if (old < places.rows() && place(old) == chosen[i]) {
        from[i] = old;
      }
    }
    return from;
  }

  config::Lift config_;
  std::uint64_t seed_;
  BaseWeights base_;
  ParameterSet values_set_;
  ParameterSet places_set_;  // the same tensors: row and column of each element
  std::vector<Matrix> matrices_;
  UnitBlocks values_;
  std::vector<TensorGradient> gradients_;  // by tensor of the base
  std::vector<std::vector<std::int64_t>> moved_from_;
  std::int64_t step_ = 0;
};

}  // namespace

std::unique_ptr<Method> make_lift(const config::Lift& config, const MethodInput& input) {
  return std::make_unique<LiftMethod>(config, input);
}

}  // namespace finescale
