// SPDX-License-Identifier: Apache-2.0
#include "worker/import/quantised_source.h"

#include <map>
#include <string>
#include <utility>

#include "configs/decoder.h"

namespace finescale {

namespace {

class QuantisedSource final : public WeightSource {
 public:
  QuantisedSource(std::unique_ptr<WeightSource> base, const Quantisation& how)
      : base_(std::move(base)), weights_(how) {
    for (const LogicalShape& tensor : logical_tensors(decoder_shape(base_->config()))) {
      if (is_quantised(tensor.name)) {
        shapes_[tensor.name] = {tensor.rows, tensor.columns};
      }
    }
  }

  [[nodiscard]] const config::ModelConfig& config() const override { return base_->config(); }

  void read(const std::string& name, const LocalPart& slab, const TensorView& out) override {
    const auto found = shapes_.find(name);
    if (found == shapes_.end()) {
      base_->read(name, slab, out);
      return;
    }
    if (name != held_) {  // readers go through a tensor before the next
      const LogicalTensor logical{name, found->second, {}, false};
      weights_.fill(0, logical, {Shape{0, 0}, found->second}, DType::kF32,
                    [&](const LocalPart& whole, const TensorView& values) {
                      base_->read(name, whole, values);
                    });
      held_ = name;
    }
    dequantise(Stream(), *weights_.find(0), slab.offset[0], slab.offset[1],
               TensorView(out.data, out.dtype, slab.shape));
  }

 private:
  std::unique_ptr<WeightSource> base_;
  QuantisedWeights weights_;  // one tensor
  std::map<std::string, Shape> shapes_;
  std::string held_;
};

}  // namespace

std::unique_ptr<WeightSource> quantised_source(std::unique_ptr<WeightSource> base,
                                               const Quantisation& how) {
  return std::make_unique<QuantisedSource>(std::move(base), how);
}

}  // namespace finescale
