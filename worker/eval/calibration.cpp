// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "worker/data/loader.h"

namespace finescale {

namespace {

constexpr std::size_t kBins = 10;

struct Bin {
  double confidence = 0;
  double right = 0;
};

}  // namespace

bool is_calibration_metric(const std::string& metric) {
  return metric == "calibration_error" || metric == "brier" || metric == "confidence";
}

Measured Calibration::metric(const std::string& name) const {
  return {name == "brier" ? brier : name == "confidence" ? confidence : error, n};
}

Calibration calibrate(const std::vector<double>& confidence, const std::vector<bool>& is_right) {
  Calibration out;
  out.n = std::ssize(confidence);
  if (confidence.empty()) {
    return out;
  }
  std::array<Bin, kBins> bins;
  for (std::size_t i = 0; i < confidence.size(); ++i) {
    const double right = is_right[i] ? 1 : 0;
    Bin& bin = bins[std::min(kBins - 1, static_cast<std::size_t>(confidence[i] * kBins))];
    bin.confidence += confidence[i];
    bin.right += right;
    out.confidence += confidence[i];
    out.brier += (confidence[i] - right) * (confidence[i] - right);
  }
  const auto n = static_cast<double>(out.n);
  for (const Bin& bin : bins) {
    out.error += std::fabs(bin.confidence - bin.right) / n;
  }
  out.confidence /= n;
  out.brier /= n;
  return out;
}

Calibration measure_calibration(EvalModel& model, const Dataset& dataset,
                                const std::vector<AnswerRecord>& answers, std::int32_t end) {
  std::vector<Example> examples;
  std::vector<bool> is_right;
  for (const AnswerRecord& answer : answers) {
    const ExampleView asked = dataset[answer.example];
    Example& example = examples.emplace_back();
    example.num_prompt = asked.num_prompt;
    example.tokens.assign(asked.tokens.begin(), asked.tokens.begin() + asked.num_prompt);
    example.tokens.insert(example.tokens.end(), answer.tokens.begin(), answer.tokens.end());
    if (answer.is_whole || answer.tokens.empty()) {
      example.tokens.push_back(end);
    }
    is_right.push_back(answer.is_right);
  }
  if (examples.empty()) {
    return {};
  }
  const Dataset given(examples);
  const std::vector<MicroBatch> batches = evaluation_batches(given, kEvaluationTokens);
  std::int64_t largest = kEvaluationTokens;
  for (const MicroBatch& batch : batches) {
    largest = std::max(largest, batch.num_tokens());
  }
  std::vector<double> confidence;
  for (const double loss : model.segment_losses(batches, largest)) {
    confidence.push_back(std::exp(-loss));
  }
  FS_CHECK(confidence.size() == is_right.size(), "one probability for each answer");
  return calibrate(confidence, is_right);
}

}  // namespace finescale
