// SPDX-License-Identifier: Apache-2.0
#include "worker/methods/linear_adapters.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "core/tensor_element.h"

namespace finescale {

namespace {

std::string stem(const ParameterSet& base, int index) {
  const std::string& name = base.tensor(index).name;
  return name.substr(0, name.size() - std::string_view(".weight").size());
}

// Where the base matrix is cut along `dim`, so is what follows that dimension: along its own `to`.
Placement cut_along(const ParameterSet& base, int index, int dim, int to) {
  Placement placement = base.tensor(index).placement;
  if (placement.kind != Placement::Kind::kSplit || placement.dim != dim) {
    return {};
  }
  placement.dim = to;
  return placement;
}

}  // namespace

LinearAdapters::LinearAdapters(const MethodInput& input, const AdapterPlan& plan)
    : plan_(plan),
      parameters_(input.base.set->dtype(), input.base.set->tensor_rank(),
                  input.base.set->tensor_size()),
      constants_(parameters_.dtype(), parameters_.tensor_rank(), parameters_.tensor_size()) {
  const ModelLayout& layout = *input.layout;
  const ParameterSet& base = *input.base.set;
  for (int unit = 0; unit < layout.layer_unit(0); ++unit) {
    parameters_.begin_unit();
  }
  for (int i = 0; i < layout.num_layers(); ++i) {
    parameters_.begin_unit();
    const LayerIndex& layer = layout.layer(i);
    layers_.push_back({declare(base, targeted(base, {{"q_proj", layer.q, 0, 0},
                                                     {"k_proj", layer.k, 0, 0},
                                                     {"v_proj", layer.v, 0, 0}})),
                       declare(base, targeted(base, {{"o_proj", layer.o.first, 0, 0}})),
                       declare(base, targeted(base, {{"gate_proj", layer.gate, 0, 0},
                                                     {"up_proj", layer.up, 0, 0}})),
                       declare(base, targeted(base, {{"down_proj", layer.down.first, 0, 0}}))});
  }
  if (stacks_.empty() && layout.num_layers() > 0) {
    throw Error(ErrorKind::kConfig, "target_modules names no matrix of this model",
                "method." + plan.method + ".target_modules",
                "a feed-forward layer may have no gate_proj");
  }
  while (parameters_.units().size() < base.units().size()) {
    parameters_.begin_unit();
  }
  parameters_.allocate();
  constants_.allocate();
  UnitBlocks blocks;
  parameters_.split(parameters_.flat(), blocks);
  bind_values(blocks);
}

std::vector<LinearAdapters::Part> LinearAdapters::targeted(
    const ParameterSet& base, std::initializer_list<Part> stack) const {
  std::vector<Part> chosen;
  std::int64_t row = 0;
  for (Part part : stack) {
    if (part.base < 0) {  // a feed-forward layer without a gate
      continue;
    }
    part.begin = row;
    row += base.local_shape(part.base)[0];
    part.end = row;
    if (plan_.modules.empty() ||
        std::find(plan_.modules.begin(), plan_.modules.end(), part.module) != plan_.modules.end()) {
      chosen.push_back(part);
    }
  }
  return chosen;
}

// Returns the index into stacks_, -1 when nothing is targeted.
int LinearAdapters::declare(const ParameterSet& base, const std::vector<Part>& chosen) {
  if (chosen.empty()) {
    return -1;
  }
  Stacked& stacked = stacks_.emplace_back();
  const std::size_t first_target = targets_.size();
  for (const Part& part : chosen) {
    targets_.push_back({.base = part.base});
  }
  if (plan_.is_scaled) {
    declare_scaled(base, chosen, stacked, first_target);
  } else if (plan_.rank > 0) {
    declare_branch(base, chosen, false, stacked, first_target);
  }
  if (plan_.has_frozen_branch) {
    declare_branch(base, chosen, true, stacked, first_target);
    stacked.low_rank.frozen = &stacked.frozen;
  }
  if (!plan_.factor_name.empty()) {
    declare_factors(base, chosen, stacked, first_target);
  }
  return static_cast<int>(stacks_.size()) - 1;
}

// A (neighbours, so that x is read once for all) and then B of the parts. Where the base's outputs
// are cut, so is B; where its inputs are, so is A.
void LinearAdapters::declare_branch(const ParameterSet& base, const std::vector<Part>& chosen,
                                    bool frozen, Stacked& stacked, std::size_t first_target) {
  ParameterSet& set = frozen ? constants_ : parameters_;
  LowRank& branch = frozen ? stacked.frozen : stacked.low_rank;
  branch.rank = plan_.rank;
  branch.scale = frozen ? -plan_.scale : plan_.scale;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const int matrix = chosen[i].base;
    const int a =
        set.declare(stem(base, matrix) + (frozen ? "/A0" : "/A"),
                    {plan_.rank, base.tensor(matrix).shape[1]}, cut_along(base, matrix, 1, 1));
    int& first = frozen ? stacked.frozen_first : stacked.a_first;
    first = first < 0 ? a : first;
    (frozen ? stacked.frozen_last : stacked.a_last) = a;
    Target& target = targets_[first_target + i];
    (frozen ? target.frozen_a : target.a) = a;
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const int matrix = chosen[i].base;
    const int b =
        set.declare(stem(base, matrix) + (frozen ? "/B0" : "/B"),
                    {base.tensor(matrix).shape[0], plan_.rank}, cut_along(base, matrix, 0, 0));
    (frozen ? stacked.frozen_b : stacked.b).push_back(b);
    branch.parts.push_back({chosen[i].begin, chosen[i].end, {}, {}});
    Target& target = targets_[first_target + i];
    (frozen ? target.frozen_b : target.b) = b;
  }
}

void LinearAdapters::declare_scaled(const ParameterSet& base, const std::vector<Part>& chosen,
                                    Stacked& stacked, std::size_t first_target) {
  stacked.low_rank.rank = plan_.rank;
  stacked.low_rank.scale = plan_.scale;
  stacked.low_rank.shares_a = true;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const int matrix = chosen[i].base;
    Target& target = targets_[first_target + i];
    target.d = parameters_.declare(stem(base, matrix) + "/d", {plan_.rank});
    target.rows = parameters_.declare(stem(base, matrix) + "/b", {base.tensor(matrix).shape[0]},
                                      cut_along(base, matrix, 0, 0));
    stacked.bases.push_back(matrix);
    stacked.d.push_back(target.d);
    stacked.rows.push_back(target.rows);
    stacked.low_rank.parts.push_back({chosen[i].begin, chosen[i].end, {}, {}});
  }
}

void LinearAdapters::bind_scaled(const ParameterSet& base, const TensorView& a,
                                 const TensorView& b) {
  for (Stacked& stacked : stacks_) {
    for (std::size_t i = 0; i < stacked.bases.size(); ++i) {  // parts of a stack read one x
      const LocalPart& part = base.part(stacked.bases[i]);
      stacked.low_rank.a.value = a.columns(part.offset[1], part.offset[1] + part.shape[1]);
      stacked.low_rank.parts[i].scaled.matrix =
          b.row_range(part.offset[0], part.offset[0] + part.shape[0]);
    }
  }
}

void LinearAdapters::declare_factors(const ParameterSet& base, const std::vector<Part>& chosen,
                                     Stacked& stacked, std::size_t first_target) {
  stacked.low_rank.scales_bias = plan_.scales_bias;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const bool input = plan_.on_input && plan_.on_input(chosen[i].module);
    FS_CHECK(!input || chosen.size() == 1, "parts of a stack read one x: none has its own factors");
    const int matrix = chosen[i].base;
    const int dim = input ? 1 : 0;
    const int index =
        parameters_.declare(stem(base, matrix) + "/" + plan_.factor_name,
                            {base.tensor(matrix).shape[dim]}, cut_along(base, matrix, dim, 0));
    const std::int64_t begin = input ? 0 : chosen[i].begin;
    std::vector<ColumnFactors>& all = input ? stacked.low_rank.inputs : stacked.low_rank.outputs;
    all.push_back({begin, begin + parameters_.local_shape(index)[0], {}, {}});
    (input ? stacked.inputs : stacked.outputs).push_back(index);
    targets_[first_target + i].factor = index;
    targets_[first_target + i].is_on_input = input;
  }
  // Addresses stay from here on.
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    Target& target = targets_[first_target + i];
    target.factors =
        target.is_on_input ? &stacked.low_rank.inputs[i] : &stacked.low_rank.outputs[i];
  }
}

void LinearAdapters::bind_values(const UnitBlocks& blocks) {
  values_ = blocks;
  for (Stacked& stacked : stacks_) {
    LowRank& low_rank = stacked.low_rank;
    for (std::size_t i = 0; i < stacked.d.size(); ++i) {
      ScaledMatrix& scaled = low_rank.parts[i].scaled;
      scaled.columns.value = parameters_.view_in(blocks, stacked.d[i]);
      scaled.rows.value = parameters_.view_in(blocks, stacked.rows[i]);
      scaled.columns.trains = scaled.rows.trains = true;
    }
    if (stacked.a_first >= 0) {
      low_rank.a.value = parameters_.stack_in(blocks, stacked.a_first, stacked.a_last);
      low_rank.a.trains = true;
    }
    for (std::size_t i = 0; i < stacked.b.size(); ++i) {
      low_rank.parts[i].b.value = parameters_.view_in(blocks, stacked.b[i]);
      low_rank.parts[i].b.trains = true;
    }
    if (plan_.has_frozen_branch) {
      stacked.frozen.a.value = constants_.stack(stacked.frozen_first, stacked.frozen_last);
      for (std::size_t i = 0; i < stacked.frozen_b.size(); ++i) {
        stacked.frozen.parts[i].b.value = constants_.view(stacked.frozen_b[i]);
      }
    }
    const auto bind = [&](std::vector<ColumnFactors>& factors, const std::vector<int>& tensors) {
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        factors[i].factor.value = parameters_.view_in(blocks, tensors[i]);
        factors[i].factor.trains = true;
      }
    };
    bind(low_rank.outputs, stacked.outputs);
    bind(low_rank.inputs, stacked.inputs);
  }
}

void LinearAdapters::bind_gradient(const UnitBlocks& blocks) {
  for (Stacked& stacked : stacks_) {
    LowRank& low_rank = stacked.low_rank;
    for (std::size_t i = 0; i < stacked.d.size(); ++i) {
      ScaledMatrix& scaled = low_rank.parts[i].scaled;
      scaled.columns.gradient = parameters_.view_in(blocks, stacked.d[i]);
      scaled.rows.gradient = parameters_.view_in(blocks, stacked.rows[i]);
    }
    if (stacked.a_first >= 0) {
      low_rank.a.gradient = parameters_.stack_in(blocks, stacked.a_first, stacked.a_last);
    }
    for (std::size_t i = 0; i < stacked.b.size(); ++i) {
      low_rank.parts[i].b.gradient = parameters_.view_in(blocks, stacked.b[i]);
    }
    for (std::size_t i = 0; i < stacked.outputs.size(); ++i) {
      low_rank.outputs[i].factor.gradient = parameters_.view_in(blocks, stacked.outputs[i]);
    }
    for (std::size_t i = 0; i < stacked.inputs.size(); ++i) {
      low_rank.inputs[i].factor.gradient = parameters_.view_in(blocks, stacked.inputs[i]);
    }
  }
}

std::vector<LayerAdapters> LinearAdapters::layers() const {
  std::vector<LayerAdapters> all;
  for (const auto& layer : layers_) {
    all.push_back({at(layer[0]), at(layer[1]), at(layer[2]), at(layer[3])});
  }
  return all;
}

std::vector<int> LinearAdapters::bases() const {
  std::vector<int> all;
  for (const Target& target : targets_) {
    all.push_back(target.base);
  }
  return all;
}

void fill_uniform(std::int64_t seed, const LogicalTensor& tensor, const LocalPart& part,
                  const TensorView& view) {
  fill_uniform(seed, tensor, part, view, 1 / std::sqrt(static_cast<double>(tensor.shape[1])));
}

void fill_uniform(std::int64_t seed, const LogicalTensor& tensor, const LocalPart& part,
                  const TensorView& view, double bound) {
  const std::uint64_t stream = name_stream(tensor.name);
  for_each_run(tensor.shape, part, [&](auto logical, auto local, auto count) {
    for (std::int64_t i = 0; i < count; ++i) {  // a number is half a block
      const auto words = philox(static_cast<std::uint64_t>(seed), Purpose::kAdapter,
                                static_cast<std::uint64_t>((logical + i) / 2), stream);
      const auto half = static_cast<std::size_t>((logical + i) % 2 * 2);
      const std::uint64_t bits = words[half] | (std::uint64_t{words[half + 1]} << 32);
      const double uniform = static_cast<double>(bits >> 11) * 0x1.0p-53;
      set_element(view, local + i, (2 * uniform - 1) * bound);
    }
  });
}

void fill_part(const std::vector<double>& whole, const LogicalTensor& tensor, const LocalPart& part,
               const TensorView& view) {
  for_each_run(tensor.shape, part, [&](auto logical, auto local, auto count) {
    for (std::int64_t i = 0; i < count; ++i) {
      set_element(view, local + i, whole[static_cast<std::size_t>(logical + i)]);
    }
  });
}

}  // namespace finescale
