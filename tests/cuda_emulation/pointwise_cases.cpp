// SPDX-License-Identifier: Apache-2.0
// GELU, SwiGLU, rotary positions, biases, softmax cross-entropy, update rules.
#include <cmath>

#include "kernels/cuda/adamw.h"
#include "kernels/cuda/bias.h"
#include "kernels/cuda/cross_entropy.h"
#include "kernels/cuda/gelu.h"
#include "kernels/cuda/partial_sums.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/swiglu.h"
#include "kernels/cuda/update_rules.h"
#include "tests/cuda_emulation/cases.h"

namespace finescale {

namespace {

// `more` 1: tanh, 2: erf.
Results gelu(const Side& side, const Size& size) {
  const Gelu kind = size.more == 2 ? Gelu::kErf : Gelu::kTanh;
  Array gate_up = side.input(1, size.rows, 2 * size.cols, 3, 2);
  Array x = side.input(2, size.rows, size.cols, 1, 2);
  Array dy = side.input(3, size.rows, size.cols, 1);
  Array y = side.output(size.rows, size.cols, 2);
  Array gated = side.output(size.rows, size.cols, 2);
  const auto plain = side.is_cuda() ? cuda::gelu_forward : gelu_forward;
  const auto plain_back = side.is_cuda() ? cuda::gelu_backward : gelu_backward;
  const auto gate = side.is_cuda() ? cuda::geglu_forward : geglu_forward;
  const auto gate_back = side.is_cuda() ? cuda::geglu_backward : geglu_backward;
  plain(side.stream, kind, x.view(), y.view());
  gate(side.stream, kind, gate_up.view(), gated.view());
  plain_back(side.stream, kind, dy.view(), x.view(), x.view());
  gate_back(side.stream, kind, dy.view(), gate_up.view(), gate_up.view());
  return {{"y", y}, {"gated", gated}, {"dx", x}, {"dgate_up", gate_up}};
}

// The gap is `more`: at 4 or 8 rows lie on packs. Out of place with y, then in place without.
Results swiglu(const Side& side, const Size& size) {
  Array gate_up = side.input(1, size.rows, 2 * size.cols, size.more, 2);
  Array dy = side.input(2, size.rows, size.cols, size.more);
  Array y = side.output(size.rows, size.cols, size.more);
  Array again = side.output(size.rows, size.cols, size.more);
  Array dgate_up = side.output(size.rows, 2 * size.cols, size.more);
  const auto forward = side.is_cuda() ? cuda::swiglu_forward : swiglu_forward;
  const auto backward = side.is_cuda() ? cuda::swiglu_backward : swiglu_backward;
  forward(side.stream, gate_up.view(), y.view());
  backward(side.stream, dy.view(), gate_up.view(), dgate_up.view(), again.view());
  backward(side.stream, dy.view(), gate_up.view(), gate_up.view(), {});
  return {{"y", y}, {"again", again}, {"dgate_up", dgate_up}, {"in place", gate_up}};
}

// Llama 3's stretched frequencies: the low ones divided by a factor, those between blended.
std::vector<double> frequencies(std::int64_t half) {
  std::vector<double> all;
  for (std::int64_t i = 0; i < half; ++i) {
    const double plain = std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
    const double smooth = std::clamp((64 * plain / 6.28 - 1) / 3, 0.0, 1.0);
    all.push_back((1 - smooth) * plain / 8 + smooth * plain);
  }
  return all;
}

// Heads of `cols` columns, 3 of them; `more` columns are rotated.
Results rope(const Side& side, const Size& size) {
  const std::int64_t half = size.more / 2;
  Array x = side.input(1, size.rows, 3 * size.cols, 8);
  Array positions(DType::kI32, size.rows, 1);
  for (std::int64_t t = 0; t < size.rows; ++t) {
    positions.set(t, 0, static_cast<double>(t % 50));  // rows are packed: positions start again
  }
  Array cos = side.wide_output(50, half);
  Array sin = side.wide_output(50, half);
  rope_table(frequencies(half), cos.view(), sin.view());
  const auto apply = side.is_cuda() ? cuda::rope_apply : rope_apply;
  Array turned = x;
  apply(side.stream, turned.view(), size.cols, positions.vector(), cos.view(), sin.view(), false);
  apply(side.stream, x.view(), size.cols, positions.vector(), cos.view(), sin.view(), true);
  return {{"forward", turned}, {"backward", x}};
}

Results bias(const Side& side, const Size& size) {
  Array bias = side.wide_input(1, 1, size.cols);
  Array dbias = side.wide_input(2, 1, size.cols);
  Array y = side.input(3, size.rows, size.cols, 3);
  Array dy = side.input(4, size.rows, size.cols, 3);
  Array x = side.wide_input(5, size.rows, size.cols, 3);
  const auto add = side.is_cuda() ? cuda::bias_add : bias_add;
  const auto affine = side.is_cuda() ? cuda::affine_in_place : affine_in_place;
  add(side.stream, bias.vector(), y.view());
  if (side.is_cuda()) {
    Array partials = side.wide_output(cuda::column_partials(size.rows), size.cols);
    cuda::bias_gradient(side.stream, dy.view(), dbias.vector(), partials.view());
  } else {
    bias_gradient(side.stream, dy.view(), dbias.vector());
  }
  affine(side.stream, 1.7, -0.3, x.view());
  return {{"y", y}, {"dbias", dbias}, {"affine", x}};
}

// Weights where `more` is 2.
Results cross_entropy(const Side& side, const Size& size) {
  Array logits = side.input(1, size.rows, size.cols, 3, 4);
  Array plain = logits;
  Array weights = side.wide_input(2, 1, size.rows);
  Array losses = side.wide_output(1, size.rows);
  Array losses_only = side.wide_output(1, size.rows);
  Array labels(DType::kI32, 1, size.rows);
  for (std::int64_t r = 0; r < size.rows; ++r) {
    labels.set(0, r, static_cast<double>((37 * r + 1) % size.cols));
  }
  const auto run = side.is_cuda() ? cuda::cross_entropy_in_place : cross_entropy_in_place;
  const TensorView weight = size.more == 2 ? weights.vector() : TensorView();
  run(side.stream, plain.view(), labels.vector(), weight, 0.3, losses_only.vector(), {});
  run(side.stream, logits.view(), labels.vector(), weight, 0.3, losses.vector(), logits.view());
  return {{"losses", losses}, {"losses only", losses_only}, {"gradient", logits}};
}

// A vocabulary cut into `more` equal parts, as their ranks would compute it one after the other.
Results vocabulary_parts(const Side& side, const Size& size) {
  const std::int64_t width = size.cols / size.more;
  Array logits = side.input(1, size.rows, size.cols, 3, 4);
  Array weights = side.wide_input(2, 1, size.rows);
  Array losses = side.wide_output(1, size.rows);
  Array statistics = side.wide_output(size.more * size.rows, 3);
  Array whole = side.wide_output(size.rows, 3);
  const auto tell = side.is_cuda() ? cuda::cross_entropy_statistics : cross_entropy_statistics;
  const auto combine = side.is_cuda() ? cuda::cross_entropy_combine : cross_entropy_combine;
  const auto finish = side.is_cuda() ? cuda::cross_entropy_finish : cross_entropy_finish;
  const auto each_part = [&](const auto& use) {
    for (std::int64_t part = 0; part < size.more; ++part) {
      Array labels(DType::kI32, 1, size.rows);
      for (std::int64_t r = 0; r < size.rows; ++r) {
        labels.set(0, r, static_cast<double>((37 * r + 1) % size.cols - part * width));
      }
      use(logits.view().columns(part * width, (part + 1) * width), labels.vector(),
          statistics.view().row_range(part * size.rows, (part + 1) * size.rows));
    }
  };
  each_part([&](const TensorView& some, const TensorView& labels, const TensorView& own) {
    tell(side.stream, some, labels, own, true);
  });
  combine(side.stream, statistics.view(), whole.view());
  each_part([&](const TensorView& some, const TensorView& labels, const TensorView& own) {
    finish(side.stream, some, labels, weights.vector(), 0.3, own, whole.view(), losses.vector(),
           some);
  });
  return {{"statistics", statistics}, {"whole", whole}, {"losses", losses}, {"gradient", logits}};
}

Results adamw(const Side& side, const Size& size) {
  Array weight = side.input(1, 1, size.cols);
  Array gradient = side.input(2, 1, size.cols, 0, 0.1);
  Array m = side.output(1, size.cols);
  Array v = side.output(1, size.cols);
  const auto update = side.is_cuda() ? cuda::adamw_update : adamw_update;
  for (int step = 1; step <= 3; ++step) {
    AdamwStep settings{
        .learning_rate = 0.01, .weight_decay = 0.1, .step = step, .gradient_scale = 0.7};
    const PlacedFactors placed(side.compute(), settings);
    settings.factors = placed.data();
    update(side.stream, settings, weight.vector(), gradient.vector(), m.vector(), v.vector());
  }
  return {{"weight", weight}, {"m", m}, {"v", v}};
}

Results lion(const Side& side, const Size& size) {
  Array weight = side.input(1, 1, size.cols);
  Array gradient = side.input(2, 1, size.cols, 0, 0.1);
  gradient.set(0, 0, 0);  // a sign of zero
  Array m = side.output(1, size.cols);
  const auto update = side.is_cuda() ? cuda::lion_update : lion_update;
  LionStep settings{.learning_rate = 0.01, .weight_decay = 0.1, .gradient_scale = 0.7};
  const PlacedFactors placed(side.compute(), settings);
  settings.factors = placed.data();
  for (int step = 0; step < 3; ++step) {
    update(side.stream, settings, weight.vector(), gradient.vector(), m.vector());
  }
  return {{"weight", weight}, {"m", m}};
}

// `more`: 0 without momentum, 1 with, 2 Nesterov's.
Results sgd(const Side& side, const Size& size) {
  Array weight = side.input(1, 1, size.cols);
  Array gradient = side.input(2, 1, size.cols, 0, 0.1);
  Array m = side.output(1, size.cols);
  const auto update = side.is_cuda() ? cuda::sgd_update : sgd_update;
  SgdStep settings{.learning_rate = 0.01,
                   .momentum = size.more == 0 ? 0 : 0.9,
                   .nesterov = size.more == 2,
                   .weight_decay = 0.1,
                   .gradient_scale = 0.7};
  const PlacedFactors placed(side.compute(), settings);
  settings.factors = placed.data();
  for (int step = 0; step < 3; ++step) {
    update(side.stream, settings, weight.vector(), gradient.vector(),
           size.more == 0 ? TensorView() : m.vector());
  }
  return {{"weight", weight}, {"m", m}};
}

}  // namespace

std::vector<Case> pointwise_cases() {
  const std::vector<DType> wide = {DType::kF32, DType::kF64};
  const std::vector<DType> all = {DType::kF32, DType::kBf16, DType::kF64};
  return {
      {.name = "gelu",
       .dtypes = all,
       .sizes = {{1, 1, 1}, {3, 75, 1}, {3, 75, 2}, {2, 1000, 2}, {1, 3001, 1}},
       .slow_sizes = {},
       .run = gelu},
      {.name = "swiglu",
       .dtypes = all,
       .sizes = {{1, 1, 0}, {3, 75, 1}, {2, 1000, 0}, {2, 1000, 8}, {3, 1000, 4}, {1, 3001, 0}},
       .slow_sizes = {},
       .run = swiglu},
      {.name = "rope",
       .dtypes = all,
       .sizes = {{1, 2, 2}, {75, 64, 64}, {5, 64, 16}, {3, 40, 24}, {6, 75, 74}, {2, 320, 288}},
       .slow_sizes = {{3001, 128, 128}},
       .run = rope},
      {.name = "bias",
       .dtypes = all,
       .sizes = {{1, 1}, {3, 75}, {200, 33}, {1100, 33}, {2, 1000}, {2, 3001}},
       .slow_sizes = {{3001, 75}},
       .run = bias},
      {.name = "cross_entropy",
       .dtypes = wide,
       // Rows of 3 elements less than their distance: in packs where that is a multiple of 4. The
       // wide ones take all there is of registers and of shared memory, and read the rest again.
       .sizes = {{1, 1},
                 {1, 2},
                 {5, 75, 2},
                 {3, 1000},
                 {2, 3001, 2},
                 {2, 9001, 2},
                 {2, 33000},
                 {2, 60001, 2},
                 {2, 60003}},
       .slow_sizes = {{2, 128257, 2}, {2, 151936}},
       .run = cross_entropy},
      {.name = "vocabulary_parts",
       .dtypes = wide,
       .sizes = {{1, 2, 2}, {5, 75, 3}, {3, 1000, 4}, {130, 6, 2}, {2, 3001, 1}, {2, 20000, 2}},
       .slow_sizes = {},
       .run = vocabulary_parts},
      {.name = "adamw",
       .dtypes = wide,
       .sizes = {{1, 1}, {1, 75}, {1, 256}, {1, 1000}, {1, 3001}},
       .slow_sizes = {},
       .run = adamw},
      {.name = "lion",
       .dtypes = wide,
       .sizes = {{1, 1}, {1, 75}, {1, 1000}, {1, 3001}},
       .slow_sizes = {},
       .run = lion},
      {.name = "sgd",
       .dtypes = wide,
       .sizes = {{1, 1, 1}, {1, 75, 0}, {1, 1000, 2}, {1, 3001, 1}},
       .slow_sizes = {},
       .run = sgd}};
}

}  // namespace finescale
