// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy.h"

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using CrossEntropy = Kernel;

std::vector<std::int32_t> make_labels(std::int64_t count, std::int64_t vocab, bool some_ignored) {
  Random random(4, Purpose::kTest);
  std::vector<std::int32_t> labels;
  for (std::int64_t t = 0; t < count; ++t) {
    const auto label = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocab)));
    labels.push_back(some_ignored && t % 3 == 1 ? kIgnoreLabel : label);
  }
  return labels;
}

double log_sum(const std::function<double(std::int64_t)>& logit, std::int64_t vocab) {
  double largest = -INFINITY;
  for (std::int64_t v = 0; v < vocab; ++v) {
    largest = std::max(largest, logit(v));
  }
  double sum = 0;
  for (std::int64_t v = 0; v < vocab; ++v) {
    sum += std::exp(logit(v) - largest);
  }
  return std::log(sum) + largest;
}

TEST_P(CrossEntropy, InPlaceIsTheFormula) {
  for (const auto& [rows, vocab] : {std::pair{1, 2}, {5, 7}, {3, 75}, {9, 1000}}) {
    for (const bool weighted : {false, true}) {
      for (const bool wants : {false, true}) {
        Tensor logits(dtype(), rows, vocab, 3);
        Tensor weights(dtype(), 0, rows);
        Tensor losses(dtype(), 0, rows);
        logits.random(1, 3);
        weights.random(2);
        logits.set(0, 0, 500);  // only differences may be exponentiated
        std::vector<std::int32_t> labels = make_labels(rows, vocab, false);
        const Tensor before = logits;
        cross_entropy_in_place(stream_, logits.view(), ids_view(labels),
                               weighted ? weights.view() : TensorView(), 0.3, losses.view(),
                               wants ? logits.view() : TensorView());
        const auto weight = [&](std::int64_t r) { return weighted ? weights.at(r) : 1; };
        const std::int64_t width = vocab;
        const auto norm = [&](std::int64_t r) {
          return log_sum([&](std::int64_t v) { return before.at(r, v); }, width);
        };
        EXPECT_LT(error_of(losses,
                           [&](auto, auto r) {
                             return weight(r) *
                                    (norm(r) - before.at(r, labels[static_cast<std::size_t>(r)]));
                           }),
                  tolerance(dtype()));
        if (wants) {
          EXPECT_LT(error_of(logits,
                             [&](auto r, auto v) {
                               return 0.3 * weight(r) *
                                      (std::exp(before.at(r, v) - norm(r)) -
                                       (labels[static_cast<std::size_t>(r)] == v ? 1 : 0));
                             }),
                    tolerance(dtype()));
        }
        EXPECT_TRUE(logits.gaps_untouched());
      }
    }
  }
}

// The vocabulary in two parts, as two ranks would hold them, against the whole.
TEST_P(CrossEntropy, PartsOfTheVocabularyGiveTheWhole) {
  const std::int64_t rows = 6;
  const std::int64_t cut = 30;
  const std::int64_t vocab = 75;
  Tensor whole(dtype(), rows, vocab, 3);
  Tensor weights(dtype(), 0, rows);
  Tensor losses(dtype(), 0, rows);
  whole.random(1, 3);
  weights.random(2);
  whole.set(0, 0, 500);
  std::vector<std::int32_t> labels = make_labels(rows, vocab, false);
  Tensor parts = whole;
  cross_entropy_in_place(stream_, whole.view(), ids_view(labels), weights.view(), 0.3,
                         losses.view(), whole.view());
  std::vector<std::int32_t> shifted = labels;
  for (std::int32_t& label : shifted) {
    label -= cut;
  }
  const TensorView left = parts.view().columns(0, cut);
  const TensorView right = parts.view().columns(cut, vocab);
  Tensor a(dtype(), rows, 3);
  Tensor b(dtype(), rows, 3);
  Tensor all(dtype(), rows, 3);
  cross_entropy_statistics(stream_, left, ids_view(labels), a.view(), true);
  cross_entropy_statistics(stream_, right, ids_view(shifted), b.view(), true);
  for (std::int64_t r = 0; r < rows; ++r) {
    const double top = std::max(a.at(r, 0), b.at(r, 0));
    all.set(r, 0, top);
    all.set(r, 1,
            a.at(r, 1) * std::exp(a.at(r, 0) - top) + b.at(r, 1) * std::exp(b.at(r, 0) - top));
    all.set(r, 2, a.at(r, 2) + b.at(r, 2));
  }
  Tensor found(dtype(), 0, rows);
  for (const auto& [logits, own, ids] :
       {std::tuple{left, &a, &labels}, std::tuple{right, &b, &shifted}}) {
    cross_entropy_finish(stream_, logits, ids_view(*ids), weights.view(), 0.3, own->view(),
                         all.view(), found.view(), logits);
    EXPECT_LT(error_of(found, [&](auto, auto r) { return losses.at(r); }), tolerance(dtype()));
  }
  EXPECT_LT(error_of(parts, [&](auto r, auto v) { return whole.at(r, v); }), tolerance(dtype()));
  EXPECT_TRUE(parts.gaps_untouched());
}

// The fused head over several chunks of rows.
struct Head {
  Head(DType dtype, std::int64_t tokens, std::int64_t width, std::int64_t vocab, bool with_weights)
      : weighted(with_weights),
        x(dtype, tokens, width, 2),
        weight(dtype, vocab, width, 1),
        weights(dtype, 0, tokens),
        losses(dtype, 0, tokens),
        dx(dtype, tokens, width, 3),
        dweight(dtype, vocab, width),
        gathered(dtype, tokens, width),
        scratch(dtype, 4, vocab),
        labels(make_labels(tokens, vocab, true)) {
    x.random(1);
    weight.random(2);
    weights.random(3);
  }
  double run(const Stream& stream, double scale, bool training) {
    linear_cross_entropy(stream, x.view(), weight.view(), ids_view(labels),
                         weighted ? weights.view() : TensorView(), scale, losses.view(),
                         training ? dx.view() : TensorView(),
                         training ? dweight.view() : TensorView(), gathered.view(), scratch.view());
    double sum = 0;
    for (std::int64_t t = 0; t < losses.cols(); ++t) {
      sum += losses.at(t);
    }
    return sum * scale;
  }
  bool weighted;
  Tensor x, weight, weights, losses, dx, dweight, gathered, scratch;
  std::vector<std::int32_t> labels;
};

TEST_P(CrossEntropy, FusedHeadIsTheFormula) {
  for (const bool weighted : {false, true}) {
    Head head(dtype(), 23, 17, 75, weighted);
    (void)head.run(stream_, 1, false);
    EXPECT_LT(error_of(head.losses,
                       [&](auto, auto t) {
                         const std::int32_t label = head.labels[static_cast<std::size_t>(t)];
                         if (label == kIgnoreLabel) {
                           return 0.0;
                         }
                         const auto logit = [&](std::int64_t v) {
                           double sum = 0;
                           for (std::int64_t c = 0; c < 17; ++c) {
                             sum += head.x.at(t, c) * head.weight.at(v, c);
                           }
                           return sum;
                         };
                         return (weighted ? head.weights.at(t) : 1) *
                                (log_sum(logit, 75) - logit(label));
                       }),
              tolerance(dtype()));
    EXPECT_TRUE(head.x.gaps_untouched());
  }
}

TEST_P(CrossEntropy, FusedHeadHasTheGradient) {
  if (!is_f64()) {
    GTEST_SKIP() << "differences need double precision";
  }
  for (const bool weighted : {false, true}) {
    Head head(dtype(), 11, 6, 13, weighted);
    const double scale = 1.0 / 7;
    (void)head.run(stream_, scale, true);
    Tensor dx = head.dx;
    Tensor dweight = head.dweight;
    const auto loss = [&] { return head.run(stream_, scale, false); };
    EXPECT_LT(difference_error(head.x, dx, loss), 1e-6);
    EXPECT_LT(difference_error(head.weight, dweight, loss), 1e-6);
    (void)head.run(stream_, scale, true);  // dweight is added to, dx is overwritten
    EXPECT_LT(error_of(head.dweight, [&](auto v, auto c) { return 2 * dweight.at(v, c); }), 1e-12);
    EXPECT_EQ(error_of(head.dx, [&](auto t, auto c) { return dx.at(t, c); }), 0);
    EXPECT_TRUE(head.dx.gaps_untouched());
  }
}

TEST_P(CrossEntropy, NothingLabelledIsNothing) {
  Head head(dtype(), 5, 6, 13, false);
  std::fill(head.labels.begin(), head.labels.end(), kIgnoreLabel);
  head.dx.random(5);
  EXPECT_EQ(head.run(stream_, 1, true), 0);
  EXPECT_EQ(error_of(head.dx, [](auto, auto) { return 0; }), 0);
  EXPECT_EQ(error_of(head.dweight, [](auto, auto) { return 0; }), 0);
}

TEST_P(CrossEntropy, ThreadsChangeNoBit) {
  expect_threads_change_nothing([&] {
    Head head(dtype(), 150, 40, 300, true);
    (void)head.run(stream_, 0.01, true);
    return bytes_of({&head.dx, &head.dweight, &head.losses});
  });
}

FINESCALE_FOR_ALL_TARGETS(CrossEntropy);

}  // namespace
}  // namespace finescale
