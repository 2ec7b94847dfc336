// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "checkpoint/slabs.h"
#include "worker/model/initialize.h"
#include "worker/transforms/transform.h"

namespace finescale {

namespace {

class ResetTransform final : public Transform {
 public:
  [[nodiscard]] TensorValues apply(const LogicalShape& tensor, std::vector<TensorValues>& models,
                                   const TransformContext& context) const override {
    if (models.size() > 1) {
      return std::move(models[1]);
    }
    TensorValues fresh(models[0].size());
    LogicalTensor whole;
    whole.name = tensor.name;
    whole.shape = tensor.columns > 0 ? Shape{tensor.rows, tensor.columns} : Shape{tensor.rows};
    initialize_tensor(context.shape, static_cast<std::int64_t>(context.seed), whole,
                      whole_of(whole.shape), TensorView(fresh.data(), DType::kF64, whole.shape));
    return fresh;
  }
};

}  // namespace

std::unique_ptr<Transform> make_reset() {
  return std::make_unique<ResetTransform>();
}

}  // namespace finescale
