// SPDX-License-Identifier: Apache-2.0
// Tokens that the kernel chooses, against the sampler that sorts.
#include "kernels/sampling.h"

#include <cmath>

#include <gtest/gtest.h>

#include "kernels/cuda/cuda_kernels.h"
#include "tests/cuda_emulation/array.h"
#include "worker/eval/sampler.h"

namespace finescale {
namespace {

const std::vector<SamplingOptions>& rules() {
  static const std::vector<SamplingOptions> all = {
      {},
      {.repetition_penalty = 1.7},
      {.temperature = 1},
      {.temperature = 0.6, .repetition_penalty = 1.3},
      {.temperature = 1.5, .top_k = 1},
      {.temperature = 0.9, .top_k = 40},
      {.temperature = 2, .top_p = 0.9},
      {.temperature = 1, .top_p = 0.05},
      {.temperature = 1, .top_p = 1e-9},
      {.temperature = 1.3, .min_p = 0.1},
      {.temperature = 1, .min_p = 1},
      {.temperature = 0.8, .top_k = 20, .top_p = 0.95, .min_p = 0.02, .repetition_penalty = 0.8},
      {.temperature = 1.2, .top_k = 300, .top_p = 0.5, .min_p = 0.3},
      {.temperature = 0.01, .top_k = 5, .top_p = 0.999},
  };
  return all;
}

struct Rows {
  Rows(DType dtype, std::int64_t count, std::int64_t vocabulary, bool has_ties)
      : logits(dtype, count, vocabulary, 67),
        uniforms(DType::kF64, 1, count),
        begins(DType::kI32, 1, count + 1),
        ids(DType::kI32, 1, count * vocabulary),
        tokens(DType::kI32, 1, count) {
    Random random(static_cast<std::uint64_t>(vocabulary), Purpose::kTest);
    std::int64_t end = 0;
    for (std::int64_t r = 0; r < count; ++r) {
      for (std::int64_t v = 0; v < vocabulary; ++v) {
        const double value = 3 * random.normal();
        logits.set(r, v, rounded_to(dtype, has_ties ? std::round(value) : value));
        if (random.below(4) == 0) {
          seen.push_back(static_cast<std::int32_t>(v));
          ids.set(0, end++, static_cast<double>(v));
        }
      }
      begins.set(0, r + 1, static_cast<double>(end));
      uniforms.set(0, r, r == 0 ? 0 : r == 1 ? 1 - 0x1p-53 : random.uniform());
    }
  }
  [[nodiscard]] std::span<const std::int32_t> seen_by(std::int64_t row) const {
    const auto begin = static_cast<std::size_t>(begins.at(0, row));
    return std::span(seen).subspan(begin, static_cast<std::size_t>(begins.at(0, row + 1)) - begin);
  }

  Array logits, uniforms, begins, ids, tokens;
  std::vector<std::int32_t> seen;
};

void expect_tokens_of_the_sampler(DType dtype, std::int64_t vocabulary, bool has_ties) {
  const std::int64_t num_rows = std::ssize(rules()) / 3;
  for (std::size_t rule = 0; rule < rules().size(); ++rule) {
    SCOPED_TRACE("rule " + std::to_string(rule) + " of " + std::to_string(vocabulary));
    Rows rows(dtype, num_rows, vocabulary, has_ties);
    Sampler sampler(rules()[rule]);
    std::vector<std::int32_t> wanted;
    for (std::int64_t r = 0; r < num_rows; ++r) {
      wanted.push_back(sampler.choose(rows.logits.view().row_range(r, r + 1), rows.seen_by(r),
                                      rows.uniforms.at(0, r)));
    }
    SeenTokens seen;
    if (rules()[rule].repetition_penalty != 1) {
      seen = {rows.ids.vector(), rows.begins.vector()};
    }
    cuda::sample_rows(Stream(DeviceType::kCuda), rules()[rule], rows.logits.view(), seen,
                      rows.uniforms.vector(), rows.tokens.vector());
    const Array tokens = rows.tokens;
    for (std::int64_t r = 0; r < num_rows; ++r) {
      EXPECT_EQ(tokens.at(0, r), wanted[static_cast<std::size_t>(r)]) << "row " << r;
    }
    EXPECT_TRUE(rows.logits.gaps_untouched());
  }
}

TEST(SampleRows, ChoosesTheTokensOfTheSampler) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const std::int64_t vocabulary : {1, 75}) {
      expect_tokens_of_the_sampler(dtype, vocabulary, false);
    }
  }
  expect_tokens_of_the_sampler(DType::kF32, 1000, false);
}

TEST(SampleRows, TakesEqualScoresInTheOrderOfTokens) {
  for (const std::int64_t vocabulary : {2, 75, 300}) {
    expect_tokens_of_the_sampler(DType::kF32, vocabulary, true);
  }
}

}  // namespace
}  // namespace finescale
