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
      : config_(config), parameters_(base.dtype(), base.tensor_rank(), base.tensor_size()) {
    for (int unit = 0; unit < layout.layer_unit(0); ++unit) {
      parameters_.begin_unit();
    }
    for (int i = 0; i < layout.num_layers(); ++i) {
      parameters_.begin_unit();
      const LayerIndex& layer = layout.layer(i);
      const std::array<Target, 3> qkv = {
          Target{"q_proj", layer.q}, {"k_proj", layer.k}, {"v_proj", layer.v}};
      const std::array<Target, 1> o = {Target{"o_proj", layer.o.first}};
      const std::array<Target, 2> gate_up = {Target{"gate_proj", layer.gate},
                                             {"up_proj", layer.up}};
      const std::array<Target, 1> down = {Target{"down_proj", layer.down.first}};
      layers_.push_back(
          {declare(base, qkv), declare(base, o), declare(base, gate_up), declare(base, down)});
    }
    if (stacks_.empty() && layout.num_layers() > 0) {
      throw Error(ErrorKind::kConfig, "target_modules names no matrix of this model",
                  "method.lora.target_modules", "a feed-forward layer may have no gate_proj");
    }
    while (parameters_.units().size() < base.units().size()) {
      parameters_.begin_unit();
    }
    parameters_.allocate();
    initialize(seed);
    UnitBlocks blocks;
    parameters_.split(parameters_.flat(), blocks);
    bind_values(blocks);
  }

  [[nodiscard]] ParameterSet& trainable() override { return parameters_; }

  void bind_values(const UnitBlocks& blocks) override {
    for_each_weight([&](Weight& weight, int first, int last) {
      weight.value = parameters_.stack_in(blocks, first, last);
      weight.trains = true;
    });
  }

  const UnitBlocks& bind_gradient(const UnitBlocks& blocks) override {
    static const UnitBlocks kFrozen;
    for_each_weight([&](Weight& weight, int first, int last) {
      weight.gradient = parameters_.stack_in(blocks, first, last);
    });
    return kFrozen;
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

  // Calls set(weight, first tensor, last tensor) for every A and B.
  template <class Set>
  void for_each_weight(Set&& set) {
    for (Stacked& stacked : stacks_) {
      set(stacked.low_rank.a, stacked.a_first, stacked.a_last);
      for (std::size_t part = 0; part < stacked.b.size(); ++part) {
        set(stacked.low_rank.parts[part].b, stacked.b[part], stacked.b[part]);
      }
    }
  }

  [[nodiscard]] bool targets(std::string_view module) const {
    const auto& names = config_.target_modules();
    return names.empty() || std::find(names.begin(), names.end(), module) != names.end();
  }

  // Declares A (neighbours) and then B of the targeted parts; returns the index into stacks_, -1
  // when none is targeted. Where the base's outputs are cut, so is B; where its inputs are, so is
  // A.
  int declare(const ParameterSet& base, std::span<const Target> stack) {
    Stacked stacked;
    stacked.low_rank.rank = config_.rank();
    stacked.low_rank.scale = config_.alpha() / config_.rank();
    std::vector<int> chosen;
    std::int64_t row = 0;
    for (const Target& target : stack) {
      if (target.base < 0) {  // a feed-forward layer without a gate
        continue;
      }
      const Shape shape = base.local_shape(target.base);
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
    const auto cut_along = [&](int index, int dim) {
      const Placement& placement = base.tensor(index).placement;
      return placement.kind == Placement::Kind::kSplit && placement.dim == dim ? placement
                                                                               : Placement{};
    };
    for (const int index : chosen) {
      const int a = parameters_.declare(
          stem(index) + "/A", {config_.rank(), base.tensor(index).shape[1]}, cut_along(index, 1));
      stacked.a_first = stacked.a_first < 0 ? a : stacked.a_first;
      stacked.a_last = a;
    }
    for (const int index : chosen) {
      stacked.b.push_back(parameters_.declare(
          stem(index) + "/B", {base.tensor(index).shape[0], config_.rank()}, cut_along(index, 0)));
    }
    stacks_.push_back(std::move(stacked));
    return static_cast<int>(stacks_.size()) - 1;
  }

  // Element i of the whole A takes the i-th uniform number of the tensor's stream: half a block.
  void initialize(std::int64_t seed) {
    for (int index = 0; index < parameters_.size(); ++index) {
      const LogicalTensor& tensor = parameters_.tensor(index);
      if (!tensor.name.ends_with("/A")) {
        continue;
      }
      const std::uint64_t stream = name_stream(tensor.name);
      const double bound = 1 / std::sqrt(static_cast<double>(tensor.shape[1]));
      const TensorView view = parameters_.view(index);
      const auto fill = [&](std::int64_t logical, std::int64_t local, std::int64_t count) {
        for (std::int64_t i = 0; i < count; ++i) {
          const auto words = philox(static_cast<std::uint64_t>(seed), Purpose::kAdapter,
                                    static_cast<std::uint64_t>((logical + i) / 2), stream);
          const auto half = static_cast<std::size_t>((logical + i) % 2 * 2);
          const std::uint64_t bits = words[half] | (std::uint64_t{words[half + 1]} << 32);
          const double uniform = static_cast<double>(bits >> 11) * 0x1.0p-53;
          const double value = (2 * uniform - 1) * bound;
          view.dtype == DType::kF64 ? view.as<double>()[local + i] = value
                                    : view.as<float>()[local + i] = static_cast<float>(value);
        }
      };
      for_each_run(tensor.shape, parameters_.part(index), fill);
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
