// SPDX-License-Identifier: Apache-2.0
// Prefix tuning (Li and Liang 2021): every layer has keys and values of P virtual tokens, which all
// tokens see; no token goes through the layers more. They train themselves, cut over the tensor
// axis by key heads as k_proj and v_proj are, or what trains is a network that makes them, whole on
// every rank.
#include <array>
#include <cmath>
#include <deque>
#include <string>

#include "core/error.h"
#include "worker/methods/linear_adapters.h"
#include "worker/methods/virtual_tokens.h"

namespace finescale {

namespace {

class PrefixTuning final : public VirtualTokenMethod {
 public:
  PrefixTuning(const config::PrefixTuning& config, const MethodInput& input)
      : VirtualTokenMethod(input), count_(config.num_virtual_tokens()) {
    const ModelLayout& layout = *input.layout;
    const ParameterSet& base = *input.base.set;
    for (int unit = 0; unit < layout.layer_unit(0); ++unit) {
      set_.begin_unit();
    }
    for (int i = 0; i < layout.num_layers(); ++i) {
      set_.begin_unit();
      const LogicalTensor& k = base.tensor(layout.layer(i).k);
      Placement heads = k.placement;  // rows of k_proj are columns here
      heads.dim = 1;
      const std::string stem = k.name.substr(0, k.name.find("k_proj")) + "prefix/";
      const Shape shape{count_, k.shape[0]};
      const int keys = set_.declare(stem + "K", shape, heads);
      layers_.push_back({keys, set_.declare(stem + "V", shape, heads), {}});
      layers_.back().prefix.k.trains = layers_.back().prefix.v.trains = true;
    }
    bind(allocate(base), &Weight::value);
    for (int tensor = 0; input.is_fresh && tensor < set_.size(); ++tensor) {
      fill_normal(input.seed, tensor);
    }
  }

  [[nodiscard]] ModelAdapters adapters() const override {
    ModelAdapters all;
    all.virtual_tokens.count = count_;
    for (const Layer& layer : layers_) {
      LayerAdapters adapters;
      adapters.prefix = &layer.prefix;
      all.layers.push_back(adapters);
    }
    return all;
  }

 private:
  struct Layer {
    int keys, values;  // tensors
    PrefixKeys prefix;
  };

  void bind(const UnitBlocks& blocks, TensorView Weight::*place) override {
    for (Layer& layer : layers_) {
      layer.prefix.k.*place = set_.view_in(blocks, layer.keys);
      layer.prefix.v.*place = set_.view_in(blocks, layer.values);
    }
  }

  std::int64_t count_;
  std::deque<Layer> layers_;  // addresses stay
};

// Linear layers begin as those of PyTorch do, uniform in +-1 / sqrt(inputs), embeddings normal.
class ProjectedPrefix final : public VirtualTokenMethod {
 public:
  ProjectedPrefix(const config::PrefixTuning& config, const MethodInput& input)
      : VirtualTokenMethod(input),
        sizes_(sizes_of(config, input)),
        encoder_(sizes_, input.base.set->dtype()) {
    set_.begin_unit();
    const std::string stem = "model.embed_prefix/";
    const std::int64_t rows = 2 * sizes_.layers * sizes_.keys;
    set_.declare(stem + "E", {sizes_.tokens, sizes_.width});
    set_.declare(stem + "W1", {sizes_.hidden, sizes_.width});
    set_.declare(stem + "b1", {sizes_.hidden});
    set_.declare(stem + "W2", {rows, sizes_.hidden});
    set_.declare(stem + "b2", {rows});
    for (Weight* weight : weights()) {
      weight->trains = true;
    }
    for (std::int64_t layer = 0; layer < sizes_.layers; ++layer) {
      PrefixKeys& prefix = prefixes_.emplace_back();
      prefix.k = made(layer, false);
      prefix.v = made(layer, true);
    }
    bind(allocate(*input.base.set), &Weight::value);
    if (input.is_fresh) {
      begin(input.seed);
    }
  }

  [[nodiscard]] ModelAdapters adapters() const override {
    ModelAdapters all;
    all.virtual_tokens.count = sizes_.tokens;
    all.virtual_tokens.encoder = &encoder_;
    for (const PrefixKeys& prefix : prefixes_) {
      LayerAdapters adapters;
      adapters.prefix = &prefix;
      all.layers.push_back(adapters);
    }
    return all;
  }
  [[nodiscard]] std::size_t seeded_bytes() const override { return encoder_.memory_bytes(); }

 private:
  static PrefixEncoder::Sizes sizes_of(const config::PrefixTuning& config,
                                       const MethodInput& input) {
    const ModelLayout& layout = *input.layout;
    if (!layout.part().has_embedding || !layout.part().has_head) {
      throw Error(ErrorKind::kConfig, "prefix_projection does not go with a pipeline",
                  "train.method.prefix_tuning.prefix_projection",
                  "its network makes the keys of all layers; leave it out, or mesh.pipeline: 1");
    }
    const std::int64_t keys = layout.shape().key();
    const LocalPart& own = input.base.set->part(layout.layer(0).k);
    return {.tokens = config.num_virtual_tokens(),
            .width = keys,
            .hidden = config.has_encoder_hidden_size() ? config.encoder_hidden_size() : keys,
            .layers = layout.num_layers(),
            .keys = keys,
            .own_begin = own.offset[0],
            .own_end = own.offset[0] + own.shape[0]};
  }

  std::array<Weight*, 5> weights() {
    return {&encoder_.embeddings, &encoder_.w1, &encoder_.b1, &encoder_.w2, &encoder_.b2};
  }
  [[nodiscard]] Weight made(std::int64_t layer, bool values) const {
    Weight weight;
    weight.value = encoder_.made(layer, values);
    weight.gradient = encoder_.made_gradient(layer, values);
    weight.trains = true;
    return weight;
  }
  void bind(const UnitBlocks& blocks, TensorView Weight::*place) override {
    const auto all = weights();
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i]->*place = set_.view_in(blocks, static_cast<int>(i));
    }
  }
  void begin(std::int64_t seed) {
    fill_normal(seed, 0);
    for (int tensor = 1; tensor < set_.size(); ++tensor) {
      const std::int64_t inputs = tensor < 3 ? sizes_.width : sizes_.hidden;
      fill_uniform(seed, set_.tensor(tensor), set_.part(tensor), set_.view(tensor),
                   1 / std::sqrt(static_cast<double>(inputs)));
    }
  }

  PrefixEncoder::Sizes sizes_;
  mutable PrefixEncoder encoder_;    // a pass makes what it holds anew
  std::deque<PrefixKeys> prefixes_;  // addresses stay
};

}  // namespace

std::unique_ptr<Method> make_prefix_tuning(const config::PrefixTuning& config,
                                           const MethodInput& input) {
  if (config.prefix_projection()) {
    return std::make_unique<ProjectedPrefix>(config, input);
  }
  return std::make_unique<PrefixTuning>(config, input);
}

}  // namespace finescale
