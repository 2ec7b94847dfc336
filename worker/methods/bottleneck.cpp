// SPDX-License-Identifier: Apache-2.0
// Bottleneck adapters: small networks behind a layer's attention and its feed-forward layer
// (Houlsby et al. 2019), or behind one of them (Pfeiffer et al. 2021): h + gelu(h D^T) U^T. D
// starts kaiming-uniform as A of LoRA does, U at zero, so that nothing changes at first.
#include <deque>

#include "worker/methods/linear_adapters.h"

namespace finescale {

namespace {

class BottleneckMethod final : public Method {
 public:
  BottleneckMethod(const config::Bottleneck& config, const MethodInput& input)
      : parameters_(input.base.set->dtype(), input.base.set->tensor_rank(),
                    input.base.set->tensor_size()) {
    const ModelLayout& layout = *input.layout;
    const bool mlp = config.place() != config::BOTTLENECK_PLACE_ATTENTION;
    const bool attention = config.place() != config::BOTTLENECK_PLACE_MLP;
    for (int unit = 0; unit < layout.layer_unit(0); ++unit) {
      parameters_.begin_unit();
    }
    for (int i = 0; i < layout.num_layers(); ++i) {
      parameters_.begin_unit();
      const std::string& first = input.base.set->tensor(layout.layer(i).input_norm.first).name;
      const std::string layer = first.substr(0, first.find('.', first.find("layers.") + 7));
      layers_.push_back({attention ? declare(layer + ".attention_bottleneck", config, layout) : -1,
                         mlp ? declare(layer + ".mlp_bottleneck", config, layout) : -1});
    }
    while (parameters_.units().size() < input.base.set->units().size()) {
      parameters_.begin_unit();
    }
    parameters_.allocate();
    UnitBlocks blocks;
    parameters_.split(parameters_.flat(), blocks);
    bind_values(blocks);
    for (const Network& network : networks_) {
      if (input.is_fresh) {
        fill_uniform(input.seed, parameters_.tensor(network.down), parameters_.part(network.down),
                     parameters_.view(network.down));
      }
    }
  }

  [[nodiscard]] ParameterSet& trainable() override { return parameters_; }
  void bind_values(const UnitBlocks& blocks) override {
    for (Network& network : networks_) {
      network.branch.down.value = parameters_.view_in(blocks, network.down);
      network.branch.up.value = parameters_.view_in(blocks, network.up);
      network.branch.down.trains = network.branch.up.trains = true;
    }
  }
  const UnitBlocks& bind_gradient(const UnitBlocks& blocks) override {
    static const UnitBlocks kFrozen;
    for (Network& network : networks_) {
      network.branch.down.gradient = parameters_.view_in(blocks, network.down);
      network.branch.up.gradient = parameters_.view_in(blocks, network.up);
    }
    return kFrozen;
  }
  [[nodiscard]] ModelAdapters adapters() const override {
    ModelAdapters all;
    for (const auto& [attention, mlp] : layers_) {
      LayerAdapters layer;
      layer.behind_attention = at(attention);
      layer.behind_mlp = at(mlp);
      all.layers.push_back(layer);
    }
    return all;
  }
  [[nodiscard]] const char* checkpoint_group() const override { return "/adapter"; }
  [[nodiscard]] bool trains_base() const override { return false; }

 private:
  struct Network {
    int down, up;
    BranchNetwork branch;
  };

  int declare(const std::string& name, const config::Bottleneck& config,
              const ModelLayout& layout) {
    const std::int64_t columns = layout.shape().hidden_size;
    const int down = parameters_.declare(name + "/D", {config.width(), columns});
    const int up = parameters_.declare(name + "/U", {columns, config.width()});
    networks_.push_back({down, up, {}});
    return static_cast<int>(networks_.size()) - 1;
  }
  [[nodiscard]] const BranchNetwork* at(int network) const {
    return network < 0 ? nullptr : &networks_[static_cast<std::size_t>(network)].branch;
  }

  struct Places {
    int attention, mlp;  // of networks_, -1: none
  };
  ParameterSet parameters_;
  std::deque<Network> networks_;  // addresses stay
  std::vector<Places> layers_;
};

}  // namespace

std::unique_ptr<Method> make_bottleneck(const config::Bottleneck& config,
                                        const MethodInput& input) {
  return std::make_unique<BottleneckMethod>(config, input);
}

}  // namespace finescale
