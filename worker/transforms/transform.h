// SPDX-License-Identifier: Apache-2.0
// What is made of the values of one logical tensor in several models. Pure: whole tensors in f64,
// so the result depends on no mesh.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "configs/decoder.h"
#include "configs/schema/transform.pb.h"

namespace finescale {

using TensorValues = std::vector<double>;  // row-major

struct TransformContext {
  DecoderShape shape;
  std::uint64_t seed = 1;  // of fresh values
};

class Transform {
 public:
  Transform() = default;
  Transform(const Transform&) = delete;
  Transform& operator=(const Transform&) = delete;
  virtual ~Transform() = default;

  // `models`: the tensor's values in each, in order; may be changed.
  [[nodiscard]] virtual TensorValues apply(const LogicalShape& tensor,
                                           std::vector<TensorValues>& models,
                                           const TransformContext& context) const = 0;
  // Whether it takes this tensor where no patterns are given.
  [[nodiscard]] virtual bool takes(const LogicalShape& tensor) const;
};

[[nodiscard]] std::unique_ptr<Transform> make_transform(const config::Transform& config);

// Kinds; make_transform() is the only caller.
[[nodiscard]] std::unique_ptr<Transform> make_average(const config::ModelAverage& config);
[[nodiscard]] std::unique_ptr<Transform> make_task_vectors(const config::TaskVectors& config);
[[nodiscard]] std::unique_ptr<Transform> make_interpolate(const config::Interpolate& config);
[[nodiscard]] std::unique_ptr<Transform> make_layer_scale(const config::LayerScale& config);
[[nodiscard]] std::unique_ptr<Transform> make_reset();
[[nodiscard]] std::unique_ptr<Transform> make_prune(const config::Prune& config);
[[nodiscard]] std::unique_ptr<Transform> make_truncate(const config::Truncate& config);

// For kinds: a matrix of a layer, neither norm nor bias.
[[nodiscard]] bool is_layer_matrix(const LogicalShape& tensor);
// The first model's values, or what they differ by from the second's, as `change` leaves them.
template <class Change>
[[nodiscard]] TensorValues changed(std::vector<TensorValues>& models, const Change& change) {
  TensorValues values = models[0];
  const bool has_reference = models.size() > 1;
  for (std::size_t i = 0; has_reference && i < values.size(); ++i) {
    values[i] -= models[1][i];
  }
  change(values);
  for (std::size_t i = 0; has_reference && i < values.size(); ++i) {
    values[i] += models[1][i];
  }
  return values;
}

}  // namespace finescale
