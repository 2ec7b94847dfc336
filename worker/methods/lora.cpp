// SPDX-License-Identifier: Apache-2.0
// LoRA (Hu et al. 2021): y = x W^T + (alpha / r) x A^T B^T. A starts kaiming-uniform(a = sqrt 5),
// that is uniform in
// +-1/sqrt(inputs), B at zero. A of the targets of one stacked GEMM lie next to each other: x is
// read once for all.
#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <string_view>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"
#include "worker/methods/method.h"

namespace finescale {

namespace {

struct Target {
  std::string_view module;  // q_proj
  int base = -1;            // index of the base matrix
};

// The adapters of one stacked projection of one layer.
struct Stacked {
  LowRank low_rank;
  int a_first = -1;  // indices in the adapter's ParameterSet
  int a_last = -1;
  std::vector<int> b;
};

class LoraMethod final : public Method {
 public:
  LoraMethod(const config::Lora& config, const ModelLayout& layout, const ParameterSet& base,
             std::int64_t seed)
      : config_(config), parameters_(base.dtype()) {
    for (int i = 0; i < layout.num_layers(); ++i) {
      const LayerIndex& layer = layout.layer(i);
      const std::array<Target, 3> qkv = {
          Target{"q_proj", layer.q}, {"k_proj", layer.k}, {"v_proj", layer.v}};
      const std::array<Target, 1> o = {Target{"o_proj", layer.o}};
      const std::array<Target, 2> gate_up = {Target{"gate_proj", layer.gate},
                                             {"up_proj", layer.up}};
      const std::array<Target, 1> down = {Target{"down_proj", layer.down}};
      layers_.push_back(
          {declare(base, qkv), declare(base, o), declare(base, gate_up), declare(base, down)});
    }
    parameters_.allocate();
    initialize(seed);
    bind_values();
  }

  [[nodiscard]] ParameterSet& trainable() override { return parameters_; }

  TensorView bind_gradient(const TensorView& block) override {
    for (Stacked& stacked : stacks_) {
      stacked.low_rank.a.gradient = parameters_.stack_in(block, stacked.a_first, stacked.a_last);
      for (std::size_t part = 0; part < stacked.b.size(); ++part) {
        stacked.low_rank.parts[part].b.gradient = parameters_.view_in(block, stacked.b[part]);
      }
    }
    return {};
  }

  [[nodiscard]] std::vector<LayerAdapters> adapters() const override {
    std::vector<LayerAdapters> all;
    for (const auto& layer : layers_) {
      all.push_back({at(layer[0]), at(layer[1]), at(layer[2]), at(layer[3])});
    }
    return all;
  }

  [[nodiscard]] const char* checkpoint_group() const override { return "/adapter"; }
  [[nodiscard]] bool trains_base() const override { return false; }

 private:
  [[nodiscard]] const LowRank* at(int index) const {
    return index < 0 ? nullptr : &stacks_[static_cast<std::size_t>(index)].low_rank;
  }

  [[nodiscard]] bool targets(std::string_view module) const {
    const auto& names = config_.target_modules();
    return names.empty() || std::find(names.begin(), names.end(), module) != names.end();
  }

  // Declares A (neighbours) and then B of the targeted parts; returns the index into stacks_, -1
  // when none is targeted.
  int declare(const ParameterSet& base, std::span<const Target> stack) {
    Stacked stacked;
    stacked.low_rank.rank = config_.rank();
    stacked.low_rank.scale = config_.alpha() / config_.rank();
    std::vector<int> chosen;
    std::int64_t row = 0;
    for (const Target& target : stack) {
      const Shape shape = base.tensor(target.base).shape;
      if (targets(target.module)) {
        chosen.push_back(target.base);
        stacked.low_rank.parts.push_back({row, row + shape[0], {}});
      }
      row += shape[0];
    }
    if (chosen.empty()) {
      return -1;
    }
    const auto stem = [&](int index) {
      const std::string& name = base.tensor(index).name;
      return name.substr(0, name.size() - std::string_view(".weight").size());
    };
    for (const int index : chosen) {
      const int a =
          parameters_.declare(stem(index) + "/A", {config_.rank(), base.tensor(index).shape[1]});
      stacked.a_first = stacked.a_first < 0 ? a : stacked.a_first;
      stacked.a_last = a;
    }
    for (const int index : chosen) {
      stacked.b.push_back(
          parameters_.declare(stem(index) + "/B", {base.tensor(index).shape[0], config_.rank()}));
    }
    stacks_.push_back(std::move(stacked));
    return static_cast<int>(stacks_.size()) - 1;
  }

  void initialize(std::int64_t seed) {
    for (int index = 0; index < parameters_.size(); ++index) {
      const LogicalTensor& tensor = parameters_.tensor(index);
      if (!tensor.name.ends_with("/A")) {
        continue;
      }
      Random random(static_cast<std::uint64_t>(seed), Purpose::kAdapter,
                    std::stoull(hash_hex(tensor.name).substr(0, 16), nullptr, 16));
      const double bound = 1 / std::sqrt(static_cast<double>(tensor.shape[1]));
      const TensorView view = parameters_.view(index);
      for (std::int64_t i = 0; i < view.num_elements(); ++i) {
        const double value = (2 * random.uniform() - 1) * bound;
        if (view.dtype == DType::kF64) {
          view.as<double>()[i] = value;
        } else {
          view.as<float>()[i] = static_cast<float>(value);
        }
      }
    }
  }

  void bind_values() {
    for (Stacked& stacked : stacks_) {
      stacked.low_rank.a.value = parameters_.stack(stacked.a_first, stacked.a_last);
      for (std::size_t part = 0; part < stacked.b.size(); ++part) {
        stacked.low_rank.parts[part].b.value = parameters_.view(stacked.b[part]);
      }
    }
  }

  config::Lora config_;
  ParameterSet parameters_;
  std::deque<Stacked> stacks_;  // addresses stay: layers point here
  std::vector<std::array<int, 4>> layers_;
};

}  // namespace

std::unique_ptr<Method> make_lora(const config::Lora& config, const ModelLayout& layout,
                                  const ParameterSet& base, std::int64_t seed) {
  return std::make_unique<LoraMethod>(config, layout, base, seed);
}

}  // namespace finescale
