// SPDX-License-Identifier: Apache-2.0
// The next token from logits. What each rule removes and the order of the rules (repetition
// penalty, temperature, top-k, top-p, min-p) are those of transformers' generate.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor.h"
#include "kernels/sampling.h"

namespace finescale {

// Throws kConfig naming the value that cannot be.
void check(const SamplingOptions& options);

struct Candidate {
  std::int32_t token = 0;
  double score = 0;
  double probability = 0;
};

// One thread per object; nothing is allocated after the first call.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options) : options_(options) {}

  // logits: f32 or f64 [V] or [1, V]. seen: the sequence's different tokens so far. uniform in
  // [0, 1) decides among what is left.
  [[nodiscard]] std::int32_t choose(const TensorView& logits, std::span<const std::int32_t> seen,
                                    double uniform);
  // What choose() chooses from, probabilities summing to 1.
  [[nodiscard]] std::span<const Candidate> candidates(const TensorView& logits,
                                                      std::span<const std::int32_t> seen);

 private:
  void load(const TensorView& logits, std::span<const std::int32_t> seen);
  void keep_top_k();
  void keep_top_p();
  void keep_min_p();
  void make_probabilities();

  SamplingOptions options_;
  std::vector<Candidate> candidates_;
  std::vector<double> scores_;
};

// [0, 1) for the token at `position` of the answer to prompt `index`: the same whatever else is
// generated, wherever.
[[nodiscard]] double sampling_uniform(std::uint64_t seed, std::uint64_t index,
                                      std::uint64_t position) noexcept;

}  // namespace finescale
