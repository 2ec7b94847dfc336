// SPDX-License-Identifier: Apache-2.0
// Tasks whose tokens count differently in the loss.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "tests/worker/kind_fixture.h"

namespace finescale::kind_test {
namespace {

Choice weighted(const char* objective) {
  return {.method = find(methods(), "lora"),
          .objective = find(objectives(), objective),
          .weighted = true,
          .precision = config::PRECISION_F64};
}

// Sum of weight x losses / sum of weight x labels, from losses that know of no weights.
TEST(TaskWeights, TheLossIsTheWeightedMean) {
  const auto single = make_single_group();
  TrainedRun run(*single, weighted("sft"));
  const double loss = run.pass(0) * run.scale();
  GlobalBatch batch;
  run.loader.fill(0, batch);
  const std::vector<double> sums =
      run.model->eval().segment_losses(batch.micro_batches, run.loader.max_micro_batch_tokens());
  double sum = 0;
  double terms = 0;
  std::size_t segment = 0;
  for (const MicroBatch& part : batch.micro_batches) {
    for (std::size_t s = 0; s < part.weights.size(); ++s, ++segment) {
      sum += part.weights[s] * sums[segment];
      const auto begin = part.labels.begin() + part.segments[s];
      const auto end = part.labels.begin() + part.segments[s + 1];
      terms += part.weights[s] * static_cast<double>(end - begin - std::count(begin, end, -100));
    }
  }
  EXPECT_NEAR(loss, sum / terms, 1e-12);
  EXPECT_NEAR(run.model->num_terms(batch), terms, 1e-12);
  EXPECT_LT(terms, static_cast<double>(batch.num_labels));
}

// Of a pair both answers count alike.
TEST(TaskWeights, PairsAreWeighedAsOne) {
  const auto single = make_single_group();
  TrainedRun run(*single, weighted("simpo"));
  GlobalBatch batch;
  run.loader.fill(0, batch);
  for (const MicroBatch& part : batch.micro_batches) {
    for (std::size_t s = 0; s + 1 < part.weights.size(); s += 2) {
      EXPECT_EQ(part.weights[s], part.weights[s + 1]);
    }
  }
  EXPECT_NEAR(batch.pair_weight, run.model->num_terms(batch), 0);
  EXPECT_TRUE(std::isfinite(run.pass(0)));
}

// Equal weights change nothing, whatever they are.
TEST(TaskWeights, OnlyTheirRatiosMatter) {
  std::vector<Example> examples(6);
  for (Example& example : examples) {
    example.tokens = {1, 2, 3, 4, static_cast<std::int32_t>(&example - examples.data())};
  }
  const config::Train train = settings(weighted("sft"));
  const Dataset plain(examples);
  for (Example& example : examples) {
    example.loss_weight = 0.25;
  }
  const Dataset light(examples);
  GlobalBatch one;
  GlobalBatch two;
  TrainLoader(plain, train, 1).fill(0, one);
  TrainLoader(light, train, 1).fill(0, two);
  EXPECT_TRUE(one.micro_batches[0].weights.empty());
  EXPECT_EQ(two.micro_batches[0].weights[0], 0.25);
  EXPECT_EQ(two.label_weight, 0.25 * one.label_weight);
}

}  // namespace
}  // namespace finescale::kind_test
