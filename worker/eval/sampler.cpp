// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "core/error.h"
#include "core/random.h"

namespace finescale {

namespace {

bool likelier(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score > b.score : a.token < b.token;
}

// Penalises in the precision of the logits, as the reference does.
template <class T>
double penalised(T logit, double penalty) {
  return static_cast<double>(logit < 0 ? logit * static_cast<T>(penalty)
                                       : logit / static_cast<T>(penalty));
}

void require(bool good, const char* name, double value, const char* rule) {
  if (!good) {
    std::string text = std::to_string(value);
    text.erase(text.find_last_not_of('0') + 1);
    text.erase(text.find_last_not_of('.') + 1);
    throw Error(ErrorKind::kConfig, std::string(name) + " is " + text + ", must be " + rule);
  }
}

}  // namespace

void check(const SamplingOptions& options) {
  require(options.temperature >= 0 && std::isfinite(options.temperature), "temperature",
          options.temperature, ">= 0");
  require(options.top_k >= 0, "top_k", options.top_k, ">= 0");
  require(options.top_p > 0 && options.top_p <= 1, "top_p", options.top_p, "> 0 and <= 1");
  require(options.min_p >= 0 && options.min_p <= 1, "min_p", options.min_p, ">= 0 and <= 1");
  require(options.repetition_penalty > 0 && std::isfinite(options.repetition_penalty),
          "repetition_penalty", options.repetition_penalty, "> 0");
}

void Sampler::load(const TensorView& logits, std::span<const std::int32_t> seen) {
  const std::int64_t count = logits.cols();
  candidates_.resize(static_cast<std::size_t>(count));
  const bool f64 = logits.dtype == DType::kF64;
  for (std::int64_t v = 0; v < count; ++v) {
    Candidate& candidate = candidates_[static_cast<std::size_t>(v)];
    candidate.token = static_cast<std::int32_t>(v);
    candidate.score = f64 ? logits.as<double>()[v] : logits.as<float>()[v];
  }
  if (options_.repetition_penalty != 1) {
    for (const std::int32_t token : seen) {
      candidates_[static_cast<std::size_t>(token)].score =
          f64 ? penalised(logits.as<double>()[token], options_.repetition_penalty)
              : penalised(logits.as<float>()[token], options_.repetition_penalty);
    }
  }
}

void Sampler::keep_top_k() {
  const auto k = static_cast<std::size_t>(options_.top_k);
  if (k == 0 || k >= candidates_.size()) {
    return;
  }
  scores_.resize(candidates_.size());
  std::transform(candidates_.begin(), candidates_.end(), scores_.begin(),
                 [](const Candidate& c) { return c.score; });
  std::nth_element(scores_.begin(), scores_.begin() + options_.top_k - 1, scores_.end(),
                   std::greater<>());
  const double least = scores_[k - 1];
  std::erase_if(candidates_, [least](const Candidate& c) { return c.score < least; });
}

void Sampler::make_probabilities() {
  double most = -std::numeric_limits<double>::infinity();
  for (const Candidate& c : candidates_) {
    most = std::max(most, c.score);
  }
  double total = 0;
  for (Candidate& c : candidates_) {
    c.probability = std::exp(static_cast<float>(c.score - most));
    total += c.probability;
  }
  for (Candidate& c : candidates_) {
    c.probability /= total;
  }
}

void Sampler::keep_top_p() {
  if (options_.top_p >= 1) {
    return;
  }
  // All candidates below this share together have less than 1 - p: none of them is sorted.
  const double least = (1 - options_.top_p) / static_cast<double>(candidates_.size());
  const auto largest = *std::min_element(candidates_.begin(), candidates_.end(), likelier);
  std::erase_if(candidates_, [least](const Candidate& c) { return c.probability < least; });
  if (candidates_.empty()) {
    candidates_.push_back(largest);
  }
  std::sort(candidates_.begin(), candidates_.end(), likelier);
  double before = 0;
  std::size_t kept = 0;
  while (kept < candidates_.size() && (kept == 0 || before < options_.top_p)) {
    before += candidates_[kept++].probability;
  }
  candidates_.resize(kept);
  make_probabilities();
}

void Sampler::keep_min_p() {
  if (options_.min_p <= 0) {
    return;
  }
  double most = 0;
  for (const Candidate& c : candidates_) {
    most = std::max(most, c.probability);
  }
  const double least = options_.min_p * most;
  std::erase_if(candidates_, [least](const Candidate& c) { return c.probability < least; });
  make_probabilities();
}

std::span<const Candidate> Sampler::candidates(const TensorView& logits,
                                               std::span<const std::int32_t> seen) {
  load(logits, seen);
  if (options_.is_greedy()) {
    candidates_.front() = *std::min_element(candidates_.begin(), candidates_.end(), likelier);
    candidates_.resize(1);
    candidates_.front().probability = 1;
    return candidates_;
  }
  for (Candidate& c : candidates_) {
    c.score /= options_.temperature;
  }
  keep_top_k();
  make_probabilities();
  keep_top_p();
  keep_min_p();
  return candidates_;
}

std::int32_t Sampler::choose(const TensorView& logits, std::span<const std::int32_t> seen,
                             double uniform) {
  double left = uniform;
  for (const Candidate& c : candidates(logits, seen)) {
    left -= c.probability;
    if (left < 0) {
      return c.token;
    }
  }
  return candidates_.back().token;  // the probabilities' sum is 1 up to rounding
}

double sampling_uniform(std::uint64_t seed, std::uint64_t index, std::uint64_t position) noexcept {
  const auto words = philox(seed, Purpose::kSampling, index, position);
  const std::uint64_t bits = (std::uint64_t{words[0]} << 21) | (words[1] >> 11);
  return static_cast<double>(bits) * 0x1.0p-53;
}

}  // namespace finescale
