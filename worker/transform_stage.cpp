// SPDX-License-Identifier: Apache-2.0
#include "worker/transform_stage.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest.h"
#include "checkpoint/slabs.h"
#include "comm/group.h"
#include "configs/canonical.h"
#include "configs/tensor_patterns.h"
#include "core/error.h"
#include "worker/import/open_model.h"
#include "worker/import/quantised_source.h"
#include "worker/methods/method.h"
#include "worker/transforms/transform.h"

namespace finescale {

namespace {

// Weights of a source, an adapter merged into its base.
std::unique_ptr<WeightSource> open_source(const config::ModelSource& source,
                                          const InputDirs& dirs) {
  if (source.has_files()) {
    return open_model_files(source.files());
  }
  if (source.has_checkpoint()) {
    return make_checkpoint_source(source.checkpoint().path());
  }
  FS_CHECK(source.has_artifact(), "a transform of untrained weights: rules were not checked");
  const auto place = dirs.find(source.artifact());
  if (place == dirs.end()) {
    throw Error(ErrorKind::kProtocol, "no directory was given for " + source.artifact());
  }
  const std::string checkpoint = place->second + "/checkpoint.h5";
  if (read_manifest(place->second).base_key.empty()) {
    return make_checkpoint_source(checkpoint);
  }
  config::StageSpec made_by;
  const auto alone = make_single_group();
  parse_canonical(CheckpointReader(*alone, checkpoint).state().stage_text, made_by);
  std::unique_ptr<WeightSource> base = open_source(made_by.train().model(), dirs);
  if (const auto how = quantisation_of(made_by.train().train().method())) {
    base = quantised_source(std::move(base), *how);  // what the adapter was trained on
  }
  return with_adapter(std::move(base), read_own_adapter(checkpoint));
}

class TransformStage {
 public:
  TransformStage(const config::StageSpec& stage, const DataStageInput& input)
      : stage_(stage), spec_(stage.transform()), in_(input) {}

  proto::StageResult run() {
    open();
    choose_share();
    std::int64_t changed = 0;
    for (const LogicalShape* tensor : share_) {
      changed += static_cast<std::int64_t>(make(*tensor));
    }
    changed = in_.world->sum(changed);
    CheckpointState state;
    state.stage_text = canonical_text(stage_);
    state.model_text = canonical_text(models_[0]->config());
    write_checkpoint(*in_.world, in_.place->attempt_dir + "/checkpoint.h5", state, written());
    in_.logger->info("{}: {} of {} tensors changed, from {} models", stage_.label(), changed,
                     tensors_.size(), models_.size());
    proto::StageResult result;
    std::int64_t parameters = 0;
    for (const LogicalShape& tensor : tensors_) {
      parameters += tensor.rows * std::max<std::int64_t>(1, tensor.columns);
    }
    result.set_total_parameters(parameters);
    result.set_outcome(proto::StageResult::DONE);
    return result;
  }

 private:
  void open() {
    for (const config::ModelSource& source : spec_.models()) {
      models_.push_back(open_source(source, *in_.dirs));
      if (key_text(models_.back()->config()) != key_text(models_.front()->config())) {
        throw Error(ErrorKind::kConfig, "the models have different architectures", stage_.label(),
                    "a transform needs models of one shape");
      }
    }
    context_.shape = decoder_shape(models_.front()->config());
    context_.seed = static_cast<std::uint64_t>(spec_.seed());
    tensors_ = logical_tensors(context_.shape);
    transform_ = make_transform(spec_.transform());
    const bool is_any = std::any_of(tensors_.begin(), tensors_.end(),
                                    [this](const LogicalShape& tensor) { return takes(tensor); });
    if (!is_any) {
      throw Error(ErrorKind::kConfig, "no tensor of the model matches transform.tensors",
                  stage_.label(), "for example model.layers.*.mlp.*");
    }
  }

  [[nodiscard]] bool takes(const LogicalShape& tensor) const {
    return spec_.transform().tensors().empty()
               ? transform_->takes(tensor)
               : matches_any(tensor.name, spec_.transform().tensors());
  }

  // The largest tensors first, each to the rank that has least: equal on every rank.
  void choose_share() {
    const auto size = [](const LogicalShape& tensor) {
      return tensor.rows * std::max<std::int64_t>(1, tensor.columns);
    };
    std::vector<const LogicalShape*> order;
    for (const LogicalShape& tensor : tensors_) {
      order.push_back(&tensor);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](const auto* a, const auto* b) { return size(*a) > size(*b); });
    std::vector<std::int64_t> loads(static_cast<std::size_t>(in_.world->size()), 0);
    for (const LogicalShape* tensor : order) {
      const auto least = std::min_element(loads.begin(), loads.end());
      *least += size(*tensor);
      if (least - loads.begin() == in_.world->rank()) {
        share_.push_back(tensor);
      }
    }
  }

  static Shape shape_of(const LogicalShape& tensor) {
    return tensor.columns > 0 ? Shape{tensor.rows, tensor.columns} : Shape{tensor.rows};
  }

  [[nodiscard]] TensorValues read(WeightSource& model, const LogicalShape& tensor) const {
    const LocalPart whole = whole_of(shape_of(tensor));
    TensorValues values(static_cast<std::size_t>(whole.shape.num_elements()));
    model.read(tensor.name, whole, TensorView(values.data(), DType::kF64, whole.shape));
    return values;
  }

  // False: the tensor is the first model's.
  bool make(const LogicalShape& tensor) {
    std::vector<TensorValues> values = {read(*models_[0], tensor)};
    const bool is_changed = takes(tensor);
    for (std::size_t m = 1; is_changed && m < models_.size(); ++m) {
      values.push_back(read(*models_[m], tensor));
    }
    const TensorValues made =
        is_changed ? transform_->apply(tensor, values, context_) : std::move(values[0]);
    std::vector<float>& kept = made_.emplace_back();
    kept.reserve(made.size());
    for (const double value : made) {
      if (!std::isfinite(value)) {
        throw Error(ErrorKind::kData, "an element of " + tensor.name + " is not finite",
                    stage_.label(), "smaller scales?");
      }
      kept.push_back(static_cast<float>(value));
    }
    return is_changed;
  }

  [[nodiscard]] std::vector<CheckpointTensor> written() {
    std::vector<CheckpointTensor> out;
    for (std::size_t i = 0; i < share_.size(); ++i) {
      CheckpointTensor& tensor = out.emplace_back();
      tensor.path = "/model/" + share_[i]->name;
      tensor.shape = shape_of(*share_[i]);
      tensor.part = whole_of(tensor.shape);
      tensor.local = TensorView(made_[i].data(), DType::kF32, tensor.shape);
    }
    return out;
  }

  const config::StageSpec& stage_;
  const config::TransformSpec& spec_;
  const DataStageInput& in_;
  std::vector<std::unique_ptr<WeightSource>> models_;
  std::unique_ptr<Transform> transform_;
  TransformContext context_;
  std::vector<LogicalShape> tensors_;
  std::vector<const LogicalShape*> share_;  // of this rank
  std::vector<std::vector<float>> made_;    // of the share
};

}  // namespace

proto::StageResult run_transform_stage(const config::StageSpec& stage,
                                       const DataStageInput& input) {
  return TransformStage(stage, input).run();
}

}  // namespace finescale
