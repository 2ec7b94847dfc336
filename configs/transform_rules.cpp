// SPDX-License-Identifier: Apache-2.0
#include "configs/transform_rules.h"

#include <algorithm>

#include "configs/tensor_patterns.h"

namespace finescale {

namespace {

struct ModelCount {
  int least = 1;
  int most = 1;
};

ModelCount wanted_models(const config::Transform& transform) {
  constexpr int kMany = 1000;
  switch (transform.kind_case()) {
    case config::Transform::kAverage:
    case config::Transform::kTaskVectors:
      return {2, kMany};
    case config::Transform::kInterpolate:
    case config::Transform::kLayerScale:
      return {2, 2};
    case config::Transform::kReset:
    case config::Transform::kPrune:
    case config::Transform::kSvd:
      return {1, 2};
    case config::Transform::KIND_NOT_SET:
      break;
  }
  return {};
}

std::string text_of(const ModelCount& count) {
  return count.least == count.most ? std::to_string(count.least)
         : count.most > 2          ? std::to_string(count.least) + " or more"
                                   : "1 or 2";
}

}  // namespace

void check_transform(const config::Transform& transform, int num_models, const std::string& path,
                     const RuleReport& report) {
  report.require(transform.kind_case() != config::Transform::KIND_NOT_SET, path,
                 path + " has no kind", "for example transform: {average: {}}");
  const ModelCount wanted = wanted_models(transform);
  report.require(
      num_models >= wanted.least && num_models <= wanted.most, path,
      path + " takes " + text_of(wanted) + " models, and from names " + std::to_string(num_models),
      "for example from: [base, train]");
  const auto counts = [&](int given, int needed, const std::string& field) {
    report.require(given == 0 || given == needed, path + field,
                   path + field + " has " + std::to_string(given) + " values, must have " +
                       std::to_string(needed));
  };
  counts(transform.average().weights_size(), num_models, ".average.weights");
  const int scales = transform.task_vectors().scales_size();
  counts(scales == 1 ? 0 : scales, num_models - 1, ".task_vectors.scales");
  report.require(!transform.has_reset() || transform.tensors_size() > 0, path,
                 path + ".reset needs tensors: all would be the second model",
                 "for example tensors: [model.layers.1.*]");
}

void check_patterns_fit(const config::Transform& transform, const DecoderShape& model,
                        const std::string& path, const RuleReport& report) {
  if (transform.tensors().empty()) {
    return;
  }
  const std::vector<LogicalShape> tensors = logical_tensors(model);
  for (int i = 0; i < transform.tensors_size(); ++i) {
    const std::string& pattern = transform.tensors(i);
    const bool fits = std::any_of(tensors.begin(), tensors.end(), [&](const LogicalShape& tensor) {
      return matches_pattern(tensor.name, pattern);
    });
    const std::string element = path + ".tensors[" + std::to_string(i) + "]";
    report.require(fits, report.is_written(element) ? element : path + ".tensors",
                   path + ".tensors: " + pattern + " is no tensor of the model",
                   "for example model.layers.0.self_attn.q_proj.weight, model.layers.*, " +
                       tensors.front().name);
  }
}

}  // namespace finescale
