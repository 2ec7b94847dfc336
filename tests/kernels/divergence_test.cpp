// SPDX-License-Identifier: Apache-2.0
#include "kernels/divergence.h"

#include "kernels/cross_entropy.h"
#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using Divergence = Kernel;

// log softmax of a row's logits times `cold`.
std::vector<double> log_softmax(const Tensor& logits, std::int64_t row, double cold) {
  std::vector<double> logs;
  double top = -INFINITY;
  for (std::int64_t v = 0; v < logits.cols(); ++v) {
    logs.push_back(cold * logits.at(row, v));
    top = std::max(top, logs.back());
  }
  double sum = 0;
  for (const double log : logs) {
    sum += std::exp(log - top);
  }
  for (double& log : logs) {
    log -= top + std::log(sum);
  }
  return logs;
}

double loss_of(const DivergenceRule& rule, const Tensor& z, const Tensor& u, std::int64_t row,
               std::int64_t label) {
  const std::vector<double> p = log_softmax(z, row, 1 / rule.temperature);
  const std::vector<double> q = log_softmax(u, row, 1 / rule.temperature);
  double divergence = 0;
  for (std::size_t v = 0; v < p.size(); ++v) {
    divergence +=
        rule.is_reversed ? std::exp(p[v]) * (p[v] - q[v]) : std::exp(q[v]) * (q[v] - p[v]);
  }
  return rule.weight * rule.temperature * rule.temperature * divergence -
         (1 - rule.weight) * log_softmax(z, row, 1)[static_cast<std::size_t>(label)];
}

const DivergenceRule kRules[] = {
    {}, {.temperature = 2}, {.is_reversed = true}, {true, 3, 0.25}, {false, 0.5, 0.75}};

TEST_P(Divergence, IsTheFormulaAndItsSlope) {
  for (const DivergenceRule& rule : kRules) {
    for (const auto& [rows, vocab] : {std::pair{1, 2}, {4, 7}, {3, 75}}) {
      Tensor z(dtype(), rows, vocab, 3);
      Tensor u(dtype(), rows, vocab, 1);
      Tensor statistics(dtype(), rows, kDivergenceStatistics);
      Tensor losses(dtype(), 0, rows);
      Tensor weights(dtype(), 0, rows);
      z.random(1, 2);
      u.random(2, 2);
      weights.random(3);
      std::vector<std::int32_t> labels;
      for (std::int32_t r = 0; r < rows; ++r) {
        labels.push_back((3 * r + 1) % vocab);
      }
      const Tensor before = z;
      divergence_statistics(stream_, rule, z.view(), u.view(), ids_view(labels), statistics.view());
      divergence_finish(stream_, rule, z.view(), u.view(), ids_view(labels), weights.view(), 0.3,
                        statistics.view(), losses.view(), true);
      const auto loss = [&](const Tensor& logits, std::int64_t r) {
        return weights.at(r) * loss_of(rule, logits, u, r, labels[static_cast<std::size_t>(r)]);
      };
      EXPECT_LT(error_of(losses, [&](auto, auto r) { return loss(before, r); }),
                tolerance(dtype()));
      if (dtype() == DType::kF64) {
        EXPECT_LT(error_of(z,
                           [&](auto r, auto v) {
                             Tensor moved = before;
                             moved.set(r, v, before.at(r, v) + 1e-5);
                             const double up = loss(moved, r);
                             moved.set(r, v, before.at(r, v) - 1e-5);
                             return 0.3 * (up - loss(moved, r)) / 2e-5;
                           }),
                  1e-8);
      }
      EXPECT_TRUE(z.gaps_untouched());
    }
  }
}

// p = (1/2, 1/2), q = (3/4, 1/4).
TEST_P(Divergence, HandMadeValues) {
  Tensor z(dtype(), 1, 2);
  Tensor u(dtype(), 1, 2);
  Tensor statistics(dtype(), 1, kDivergenceStatistics);
  Tensor loss(dtype(), 0, 1);
  std::vector<std::int32_t> labels = {1};
  u.set(0, 0, std::log(3.0));
  const auto found = [&](const DivergenceRule& rule) {
    z.set(0, 0, 0);
    z.set(0, 1, 0);
    divergence_statistics(stream_, rule, z.view(), u.view(), ids_view(labels), statistics.view());
    divergence_finish(stream_, rule, z.view(), u.view(), ids_view(labels), {}, 1, statistics.view(),
                      loss.view(), true);
    return loss.at(0);
  };
  EXPECT_NEAR(found({}), 0.75 * std::log(1.5) - 0.25 * std::log(2.0), 1e-6);
  EXPECT_NEAR(z.at(0, 0), -0.25, 1e-6);  // p - q
  EXPECT_NEAR(found({.is_reversed = true}), 0.5 * std::log(4.0 / 3), 1e-6);
  EXPECT_NEAR(z.at(0, 0), -0.25 * std::log(3.0), 1e-6);  // p (log p/q - KL)
  EXPECT_NEAR(found({.weight = 0}), std::log(2.0), 1e-6);
  EXPECT_NEAR(z.at(0, 1), -0.5, 1e-6);
  EXPECT_NEAR(found({.temperature = 2, .weight = 0.5}),
              2 * (std::sqrt(3.0) / (1 + std::sqrt(3.0)) * std::log(std::sqrt(3.0)) -
                   std::log((1 + std::sqrt(3.0)) / 2)) +
                  0.5 * std::log(2.0),
              1e-6);
}

// The vocabulary in two parts, as two ranks would hold them.
TEST_P(Divergence, PartsOfTheVocabularyGiveTheWhole) {
  const std::int64_t rows = 5;
  const std::int64_t cut = 30;
  const std::int64_t vocab = 75;
  for (const DivergenceRule& rule : kRules) {
    Tensor whole(dtype(), rows, vocab, 3);
    Tensor u(dtype(), rows, vocab, 2);
    Tensor statistics(dtype(), rows, kDivergenceStatistics);
    Tensor losses(dtype(), 0, rows);
    whole.random(1, 3);
    u.random(2, 3);
    whole.set(0, 0, 40);
    u.set(1, 60, 40);
    Tensor parts = whole;
    std::vector<std::int32_t> labels = {1, 29, 30, 74, 44};
    divergence_statistics(stream_, rule, whole.view(), u.view(), ids_view(labels),
                          statistics.view());
    divergence_finish(stream_, rule, whole.view(), u.view(), ids_view(labels), {}, 0.3,
                      statistics.view(), losses.view(), true);
    std::vector<std::int32_t> shifted = labels;
    for (std::int32_t& label : shifted) {
      label -= cut;
    }
    const TensorView z[] = {parts.view().columns(0, cut), parts.view().columns(cut, vocab)};
    const TensorView t[] = {u.view().columns(0, cut), u.view().columns(cut, vocab)};
    const TensorView ids[] = {ids_view(labels), ids_view(shifted)};
    Tensor both(dtype(), 2 * rows, kDivergenceStatistics);
    Tensor all(dtype(), rows, kDivergenceStatistics);
    for (int i = 0; i < 2; ++i) {
      divergence_statistics(stream_, rule, z[i], t[i], ids[i],
                            both.view().row_range(i * rows, (i + 1) * rows));
    }
    divergence_combine(rule, both.view(), all.view());
    Tensor found(dtype(), 0, rows);
    for (int i = 0; i < 2; ++i) {
      divergence_finish(stream_, rule, z[i], t[i], ids[i], {}, 0.3, all.view(), found.view(), true);
      EXPECT_LT(error_of(found, [&](auto, auto r) { return losses.at(r); }), tolerance(dtype()));
    }
    EXPECT_LT(error_of(parts, [&](auto r, auto v) { return whole.at(r, v); }), tolerance(dtype()));
  }
}

FINESCALE_FOR_ALL_TARGETS(Divergence);

}  // namespace
}  // namespace finescale
