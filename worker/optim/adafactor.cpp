// SPDX-License-Identifier: Apache-2.0
// Adafactor (Shazeer and Stern 2018), without momentum and with the stage's learning rate: of a
// matrix only the means of the squared gradients by row and by column are kept, v_ij = R_i C_j /
// mean(R); of a vector all of them. A step whose root mean square is above `clip` is brought to it.
#include <algorithm>
#include <cmath>

#include "core/tensor_element.h"
#include "kernels/bias.h"
#include "kernels/reduce.h"
#include "worker/optim/update_rule.h"

namespace finescale {

namespace {

constexpr double kFloor = 1e-30;  // of a squared gradient: section 8, epsilon 1
constexpr double kDecay = 0.8;    // the mean of step t forgets t^-0.8: section 7.2

bool is_factored(const Shape& shape) {
  return shape.rank == 2 && std::min(shape[0], shape[1]) > 1;
}

class Adafactor final : public UpdateRule {
 public:
  explicit Adafactor(const config::Train& train)
      : UpdateRule(train), clip_(train.optimizer().adafactor().clip()) {}

  [[nodiscard]] std::vector<std::string> slots() const override { return {}; }
  [[nodiscard]] bool takes_whole(const LogicalTensor& /*tensor*/) const override { return true; }
  [[nodiscard]] std::vector<WholeSlot> whole_slots(const LogicalTensor& tensor) const override {
    if (is_factored(tensor.shape)) {
      return {{"rows", Shape{tensor.shape[0]}}, {"columns", Shape{tensor.shape[1]}}};
    }
    return {{"v", Shape{tensor.shape.num_elements()}}};
  }

  void make_direction(const Stream& /*stream*/, const TensorView& whole,
                      std::span<const TensorView> state, const UpdateStep& step) const override {
    const double keep = 1 - std::pow(static_cast<double>(step.step), -kDecay);
    const auto mix = [keep](const TensorView& view, std::int64_t index, double value) {
      set_element(view, index, keep * element(view, index) + (1 - keep) * value);
    };
    const std::int64_t rows = is_factored(whole.shape) ? whole.rows() : 1;
    const std::int64_t columns = whole.num_elements() / rows;
    double mean = 1;  // of the rows' means
    if (rows == 1) {
      for (std::int64_t i = 0; i < columns; ++i) {
        mix(state[0], i, square(whole, i));
      }
    } else {
      mean = mix_means(whole, rows, columns, state, mix);
    }
    double squares = 0;
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      const double v = rows == 1
                           ? element(state[0], i)
                           : element(state[0], i / columns) * element(state[1], i % columns) / mean;
      const double moved = element(whole, i) / std::sqrt(v);
      squares += moved * moved;
      set_element(whole, i, moved);
    }
    const double size = std::sqrt(squares / static_cast<double>(rows * columns));
    for (std::int64_t i = 0; size > clip_ && i < rows * columns; ++i) {
      set_element(whole, i, element(whole, i) * clip_ / size);
    }
  }

 private:
  static double square(const TensorView& whole, std::int64_t index) {
    return element(whole, index) * element(whole, index) + kFloor;
  }
  template <class Mix>
  static double mix_means(const TensorView& whole, std::int64_t rows, std::int64_t columns,
                          std::span<const TensorView> state, const Mix& mix) {
    std::vector<double> by_column(static_cast<std::size_t>(columns));
    double mean = 0;
    for (std::int64_t row = 0; row < rows; ++row) {
      double by_row = 0;
      for (std::int64_t c = 0; c < columns; ++c) {
        const double value = square(whole, row * columns + c);
        by_row += value;
        by_column[static_cast<std::size_t>(c)] += value;
      }
      mix(state[0], row, by_row / static_cast<double>(columns));
      mean += element(state[0], row) / static_cast<double>(rows);
    }
    for (std::int64_t c = 0; c < columns; ++c) {
      mix(state[1], c, by_column[static_cast<std::size_t>(c)] / static_cast<double>(rows));
    }
    return mean;
  }
  void gather_range(const Stream& stream, const UpdateRange& range,
                    const Factors& factors) const override {
    affine_in_place(stream, factors.gradient_scale, 0, range.gradient);
  }
  void apply_range(const Stream& stream, const UpdateRange& range,
                   const Factors& factors) const override {
    affine_in_place(stream, 1 - factors.learning_rate * factors.weight_decay, 0, range.value);
    axpy(stream, -factors.learning_rate, range.gradient, range.value);
  }
  void update_range(const Stream& /*stream*/, const UpdateRange& /*range*/,
                    const Factors& /*factors*/) const override {}

  double clip_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_adafactor(const config::Train& train) {
  return std::make_unique<Adafactor>(train);
}

}  // namespace finescale
