// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"
#include "worker/transforms/transform.h"

namespace finescale {

std::unique_ptr<Transform> make_transform(const config::Transform& config) {
  switch (config.kind_case()) {
    case config::Transform::kAverage:
      return make_average(config.average());
    case config::Transform::kTaskVectors:
      return make_task_vectors(config.task_vectors());
    case config::Transform::kInterpolate:
      return make_interpolate(config.interpolate());
    case config::Transform::kLayerScale:
      return make_layer_scale(config.layer_scale());
    case config::Transform::kReset:
      return make_reset();
    case config::Transform::kPrune:
      return make_prune(config.prune());
    case config::Transform::kSvd:
      return make_truncate(config.svd());
    case config::Transform::KIND_NOT_SET:
      break;
  }
  throw Error(ErrorKind::kInternal, "a transform without a kind: rules were not checked");
}

bool Transform::takes(const LogicalShape& /*tensor*/) const {
  return true;
}

bool is_layer_matrix(const LogicalShape& tensor) {
  return tensor.columns > 0 && tensor.name.starts_with("model.layers.");
}

}  // namespace finescale
