// SPDX-License-Identifier: Apache-2.0
#include "configs/method_shape.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "configs/chosen_tensors.h"
#include "configs/mesh_plan.h"
#include "core/error.h"

namespace finescale {

const std::vector<std::string>& module_names() {
  static const std::vector<std::string> names = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                 "gate_proj", "up_proj", "down_proj"};
  return names;
}

namespace {

// Which of the seven; the default when none is named.
template <class Names>
std::array<bool, 7> targets_of(const Names& names, const std::array<bool, 7>& otherwise) {
  std::array<bool, 7> targets = otherwise;
  for (std::size_t i = 0; i < module_names().size() && !names.empty(); ++i) {
    targets[i] = std::find(names.begin(), names.end(), module_names()[i]) != names.end();
  }
  return targets;
}

constexpr std::array<bool, 7> kAll = {true, true, true, true, true, true, true};

template <class LowRank>
planner::MethodShape low_rank_shape(const LowRank& config) {
  planner::MethodShape shape;
  shape.trains_base = false;
  shape.rank = config.rank();
  shape.targets = targets_of(config.target_modules(), kAll);
  return shape;
}

}  // namespace

namespace {

std::int64_t elements_of(const LogicalShape& tensor) {
  return tensor.rows * std::max<std::int64_t>(1, tensor.columns);
}

// Where a tensor's elements count: k and v are cut by heads, norms and the biases of what sums over
// ranks lie on all of them.
void add_chosen(const LogicalShape& tensor, planner::ChosenElements& unit) {
  const auto is_of = [&](const char* part) { return tensor.name.find(part) != std::string::npos; };
  const bool sums = is_of(".o_proj.") || is_of(".down_proj.");
  if (is_of("norm") || is_of("embed_positions") || (tensor.columns == 0 && sums)) {
    unit.whole += elements_of(tensor);
  } else if (is_of(".k_proj.") || is_of(".v_proj.")) {
    unit.keys += elements_of(tensor);
  } else {
    unit.cut += elements_of(tensor);
  }
}

// Of matrices whose whole stack is frozen: they are kept rounded where products round.
void add_idle(const DecoderShape& model, const std::vector<LogicalShape>& trained,
              planner::Choice& choice) {
  static const std::array<std::vector<std::string>, 4> kStacks = {
      {{".q_proj.", ".k_proj.", ".v_proj."},
       {".o_proj."},
       {".gate_proj.", ".up_proj."},
       {".down_proj."}}};
  const auto stack_of = [](const std::string& name) {
    for (std::size_t i = 0; i < kStacks.size(); ++i) {
      for (const std::string& module : kStacks[i]) {
        if (name.find(module) != std::string::npos) {
          return static_cast<int>(i);
        }
      }
    }
    return -1;
  };
  std::set<std::pair<int, int>> busy;  // layer and stack
  bool head_trains = false;
  const char* const head = model.tied ? "model.embed_tokens" : "lm_head";
  for (const LogicalShape& tensor : trained) {
    busy.insert({layer_of(tensor.name), stack_of(tensor.name)});
    head_trains = head_trains || tensor.name.starts_with(head);
  }
  for (const LogicalShape& tensor : logical_tensors(model)) {
    const int layer = layer_of(tensor.name);
    const int stack = stack_of(tensor.name);
    if (layer >= 0 && stack >= 0 && tensor.columns > 0 && !busy.contains({layer, stack})) {
      choice.layers[static_cast<std::size_t>(layer)].idle += elements_of(tensor);
    }
  }
  choice.final.idle = head_trains ? 0 : std::int64_t{model.vocab_size} * model.hidden_size;
}

// Elements of each matrix, whole on every rank, and beside each its place.
void add_entries(const config::Lift& config, const LogicalShape& tensor,
                 planner::ChosenElements& unit, planner::Choice& choice) {
  unit.whole += lift_count(config, tensor.rows, tensor.columns);
  choice.dense = std::max(choice.dense, static_cast<double>(elements_of(tensor)));
  const bool measures =
      config.mask() == config::LIFT_MASK_GRADIENT || config.mask() == config::LIFT_MASK_MOVEMENT;
  unit.measured += measures ? elements_of(tensor) : 0;
}

planner::Choice choice_of(const config::Method& method, const DecoderShape& model) {
  const std::vector<LogicalShape> trained = *trained_tensors(method, model);
  if (trained.empty()) {
    throw Error(ErrorKind::kConfig, "the method trains no tensor of this model", "train.method",
                "choose others by name: model.norm, q_proj, mlp.*.weight");
  }
  planner::Choice choice;
  choice.layers.resize(static_cast<std::size_t>(model.num_layers));
  for (const LogicalShape& tensor : trained) {
    const int layer = layer_of(tensor.name);
    if (method.has_lift()) {
      add_entries(method.lift(), tensor, choice.layers[static_cast<std::size_t>(layer)], choice);
    } else if (layer >= 0) {
      add_chosen(tensor, choice.layers[static_cast<std::size_t>(layer)]);
    } else if (tensor.name == "model.embed_tokens.weight") {
      add_chosen(tensor, choice.embedding);
    } else if (tensor.name == "model.embed_positions.weight") {
      add_chosen(tensor, choice.positions);
    } else {
      add_chosen(tensor, choice.final);
    }
  }
  add_idle(model, trained, choice);
  const BackwardWork work = backward_work(model, trained);
  choice.first_layer = work.first_layer;
  choice.input_work = static_cast<double>(work.inputs);
  choice.weight_work = static_cast<double>(work.weights);
  choice.attention_work = work.attention;
  choice.head_passes = 2 + (work.head_inputs ? 2 : 0) + (work.head_weights ? 2 : 0);
  return choice;
}

}  // namespace

namespace {

// Of a prefix's network; 0: there is none.
std::int64_t encoder_width(const config::PrefixTuning& config, const DecoderShape& model) {
  if (!config.prefix_projection()) {
    return 0;
  }
  return config.has_encoder_hidden_size() ? config.encoder_hidden_size() : model.key();
}

}  // namespace

planner::MethodShape method_shape(const config::Method& method, const DecoderShape& model) {
  planner::MethodShape shape;
  switch (method.kind_case()) {
    case config::Method::kFull:
      shape.last_layers = method.full().has_last_layers() ? method.full().last_layers() : 0;
      break;
    case config::Method::KIND_NOT_SET:
      break;
    case config::Method::kLora:
      shape = low_rank_shape(method.lora());
      shape.frozen_rank = method.lora().init() == config::LORA_INIT_PISSA ? shape.rank : 0;
      break;
    case config::Method::kDora:
      shape = low_rank_shape(method.dora());
      shape.outputs = shape.targets;
      break;
    case config::Method::kAllora:
      shape = low_rank_shape(method.allora());
      break;
    case config::Method::kVera:
      shape = low_rank_shape(method.vera());
      shape.is_scaled = true;
      break;
    case config::Method::kBottleneck:
      shape.trains_base = false;
      shape.targets = {};
      shape.branch_width = method.bottleneck().width();
      shape.branches = method.bottleneck().place() == config::BOTTLENECK_PLACE_BOTH ? 2 : 1;
      break;
    case config::Method::kPromptTuning:
      shape.trains_base = false;
      shape.targets = {};
      shape.virtual_tokens = method.prompt_tuning().num_virtual_tokens();
      shape.virtual_rows = true;
      break;
    case config::Method::kPrefixTuning:
      shape.trains_base = false;
      shape.targets = {};
      shape.virtual_tokens = method.prefix_tuning().num_virtual_tokens();
      shape.encoder_width = encoder_width(method.prefix_tuning(), model);
      break;
    case config::Method::kIa3:
      shape.trains_base = false;
      shape.targets =
          targets_of(method.ia3().target_modules(), {false, true, true, false, false, false, true});
      shape.outputs = shape.targets;
      shape.outputs[6] = false;
      shape.inputs[6] = shape.targets[6];
      break;
    case config::Method::kQlora: {
      static constexpr std::array<double, 7> kBits = {0, 4, 4, 8, 4, 3, 2};  // by form
      shape = low_rank_shape(method.qlora());
      shape.block_bytes = 8 * kBits[static_cast<std::size_t>(method.qlora().base_form())] +
                          (method.qlora().double_quantisation() ? 1 + 4.0 / 256 : 4);
      break;
    }
    case config::Method::kSelective:
    case config::Method::kBitfit:
    case config::Method::kLift:
      shape.trains_base = false;
      shape.targets = {};
      shape.choice = choice_of(method, model);
      break;
  }
  return shape;
}

namespace {

void add_branches(const planner::MethodShape& shape, const DecoderShape& model,
                  std::vector<LogicalShape>& tensors) {
  for (int i = 0; i < shape.branches * model.num_layers; ++i) {
    const std::string name =
        "model.layers." + std::to_string(i / shape.branches) + ".bottleneck.weight";
    tensors.push_back({name, shape.branch_width, model.hidden_size});
    tensors.push_back({name, model.hidden_size, shape.branch_width});
  }
}

void add_virtual_tokens(const planner::MethodShape& shape, const DecoderShape& model,
                        std::vector<LogicalShape>& tensors) {
  if (shape.virtual_rows) {
    tensors.push_back({"model.embed_prompt", shape.virtual_tokens, model.hidden_size});
    return;
  }
  if (const std::int64_t width = shape.encoder_width; width > 0) {
    const std::int64_t rows = 2 * std::int64_t{model.num_layers} * model.key();
    tensors.push_back({"model.embed_prefix", shape.virtual_tokens, model.key()});
    tensors.push_back({"model.embed_prefix", width, model.key()});
    tensors.push_back({"model.embed_prefix", width, 0});
    tensors.push_back({"model.embed_prefix", rows, width});
    tensors.push_back({"model.embed_prefix", rows, 0});
    return;
  }
  for (int i = 0; i < 2 * model.num_layers && shape.virtual_tokens > 0; ++i) {
    tensors.push_back({"model.layers." + std::to_string(i / 2) + ".prefix", shape.virtual_tokens,
                       std::int64_t{model.key()}});
  }
}

// What an adapter method puts on a matrix.
void add_adapters(const LogicalShape& matrix, const planner::MethodShape& shape,
                  std::vector<LogicalShape>& tensors) {
  for (std::size_t i = 0; i < module_names().size(); ++i) {
    if (matrix.name.find("." + module_names()[i] + ".") == std::string::npos) {
      continue;
    }
    if (shape.is_scaled) {
      if (shape.targets[i]) {
        tensors.push_back({matrix.name, shape.rank, 0});
        tensors.push_back({matrix.name, matrix.rows, 0});
      }
      continue;
    }
    if (shape.targets[i] && shape.rank > 0) {
      tensors.push_back({matrix.name, shape.rank, matrix.columns});
      tensors.push_back({matrix.name, matrix.rows, shape.rank});
    }
    if (shape.outputs[i]) {
      tensors.push_back({matrix.name, matrix.rows, 0});
    }
    if (shape.inputs[i]) {
      tensors.push_back({matrix.name, matrix.columns, 0});
    }
  }
}

// Sides of the tensors that train under a method; columns 0: a vector.
std::vector<LogicalShape> updated_tensors(const config::Method& method, const DecoderShape& model) {
  const planner::MethodShape shape = method_shape(method, model);
  const auto chosen = trained_tensors(method, model);
  std::vector<LogicalShape> tensors;
  add_branches(shape, model, tensors);
  add_virtual_tokens(shape, model, tensors);
  for (const LogicalShape& tensor : chosen ? *chosen : logical_tensors(model)) {
    if (method.has_lift()) {
      tensors.push_back({tensor.name, lift_count(method.lift(), tensor.rows, tensor.columns), 0});
    } else if (shape.choice) {
      tensors.push_back(tensor);
    } else if (shape.trains_base) {
      const bool is_frozen = shape.last_layers > 0 &&
                             (tensor.name.starts_with("model.embed") ||
                              (layer_of(tensor.name) >= 0 &&
                               layer_of(tensor.name) < shape.frozen_layers(model_shape(model))));
      if (!is_frozen) {
        tensors.push_back(tensor);
      }
    } else if (layer_of(tensor.name) >= 0 && tensor.columns > 0) {
      add_adapters(tensor, shape, tensors);
    }
  }
  return tensors;
}

}  // namespace

std::int64_t num_virtual_tokens(const config::Method& method) {
  if (method.has_prompt_tuning()) {
    return method.prompt_tuning().num_virtual_tokens();
  }
  return method.has_prefix_tuning() ? method.prefix_tuning().num_virtual_tokens() : 0;
}

double whole_elements(const config::Train& train, const DecoderShape& model) {
  const bool is_muon = train.optimizer().has_muon();
  if (!is_muon && !train.optimizer().has_adafactor()) {
    return 0;
  }
  double largest = 0;
  double kept = 0;
  for (const LogicalShape& tensor : updated_tensors(train.method(), model)) {
    const auto rows = static_cast<double>(tensor.rows);
    const auto columns = static_cast<double>(tensor.columns);
    const bool is_matrix = std::min(tensor.rows, tensor.columns) > 1;
    if (!is_muon) {
      largest = std::max(largest, rows * std::max(1.0, columns));
      kept += is_matrix ? rows + columns : rows * std::max(1.0, columns);
    } else if (is_matrix && layer_of(tensor.name) >= 0) {
      const double side = std::min(rows, columns);
      largest = std::max(largest, 2 * rows * columns + 2 * side * side);
    }
  }
  return largest + kept;
}

}  // namespace finescale
