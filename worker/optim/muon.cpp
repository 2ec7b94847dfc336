// SPDX-License-Identifier: Apache-2.0
// Muon (Jordan et al. 2024): a matrix moves along the orthogonal factor of its momentum, so that no
// direction of it learns faster than the others. Steps are as long as those of AdamW, 0.2 in every
// element in the mean (Liu et al. 2025, Muon is scalable, section 2.2), so one learning rate serves
// both; what is no matrix, and tables of tokens, are left to AdamW.
#include <algorithm>
#include <cmath>

#include "kernels/adamw.h"
#include "kernels/bias.h"
#include "kernels/reduce.h"
#include "worker/optim/newton_schulz.h"
#include "worker/optim/update_rule.h"

namespace finescale {

namespace {

constexpr double kStepSize = 0.2;

class Muon final : public UpdateRule {
 public:
  explicit Muon(const config::Train& train)
      : UpdateRule(train),
        momentum_(train.optimizer().muon().momentum()),
        nesterov_(train.optimizer().muon().nesterov()),
        eps_(train.eps()) {}

  [[nodiscard]] std::vector<std::string> slots() const override { return {"m", "v"}; }
  [[nodiscard]] bool takes_whole(const LogicalTensor& tensor) const override {
    const bool is_table = tensor.name.find("embed_") != std::string::npos ||
                          tensor.name.find("lm_head") != std::string::npos;
    return tensor.shape.rank == 2 && std::min(tensor.shape[0], tensor.shape[1]) > 1 && !is_table;
  }
  void make_direction(const Stream& stream, const TensorView& whole,
                      std::span<const TensorView> /*state*/,
                      const UpdateStep& /*step*/) const override {
    newton_schulz(stream, whole, scratch_);
    const auto side = static_cast<double>(std::max(whole.rows(), whole.cols()));
    affine_in_place(stream, kStepSize * std::sqrt(side), 0,
                    TensorView(whole.data, whole.dtype, Shape{whole.num_elements()}));
  }
  [[nodiscard]] std::size_t scratch_bytes() const override { return scratch_.size_bytes(); }

 private:
  // m = momentum m + g; the gradient's place takes g + momentum m, or m.
  void gather_range(const Stream& stream, const UpdateRange& range,
                    const Factors& factors) const override {
    affine_in_place(stream, momentum_, 0, range.m);
    axpy(stream, factors.gradient_scale, range.gradient, range.m);
    if (nesterov_) {
      affine_in_place(stream, factors.gradient_scale, 0, range.gradient);
      axpy(stream, momentum_, range.m, range.gradient);
    } else {
      copy(stream, range.m, range.gradient);
    }
  }
  void apply_range(const Stream& stream, const UpdateRange& range,
                   const Factors& factors) const override {
    affine_in_place(stream, 1 - factors.learning_rate * factors.weight_decay, 0, range.value);
    axpy(stream, -factors.learning_rate, range.gradient, range.value);
  }
  void update_range(const Stream& stream, const UpdateRange& range,
                    const Factors& factors) const override {
    adamw_update(stream,
                 {.learning_rate = factors.learning_rate,
                  .beta1 = 0.9,
                  .beta2 = 0.95,
                  .eps = eps_,
                  .weight_decay = factors.weight_decay,
                  .step = factors.step,
                  .gradient_scale = factors.gradient_scale},
                 range.value, range.gradient, range.m, range.v);
  }

  double momentum_;
  bool nesterov_;
  double eps_;
  mutable AlignedBuffer scratch_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_muon(const config::Train& train) {
  return std::make_unique<Muon>(train);
}

}  // namespace finescale
