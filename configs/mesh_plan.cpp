// SPDX-License-Identifier: Apache-2.0
#include "configs/mesh_plan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <utility>

#include "configs/chosen_tensors.h"
#include "core/error.h"

namespace finescale {

namespace {

planner::Recompute recompute_of(const config::Mesh& mesh) {
  switch (mesh.recompute()) {
    case config::RECOMPUTE_NONE:
      return planner::Recompute::kNone;
    case config::RECOMPUTE_SELECTIVE:
      return planner::Recompute::kSelective;
    case config::RECOMPUTE_FULL:
      return planner::Recompute::kFull;
  }
  return planner::Recompute::kNone;
}

planner::Offload offload_of(const config::Mesh& mesh) {
  switch (mesh.offload()) {
    case config::OFFLOAD_NONE:
      return planner::Offload::kNone;
    case config::OFFLOAD_HOST:
      return planner::Offload::kHost;
    case config::OFFLOAD_DISK:
      return planner::Offload::kDisk;
  }
  return planner::Offload::kNone;
}

config::Offload offload_of(planner::Offload offload) {
  switch (offload) {
    case planner::Offload::kNone:
      return config::OFFLOAD_NONE;
    case planner::Offload::kHost:
      return config::OFFLOAD_HOST;
    case planner::Offload::kDisk:
      return config::OFFLOAD_DISK;
  }
  return config::OFFLOAD_NONE;
}

// Bytes of what the update rule keeps of an element, the scales of blocks of 256 included.
double state_bytes(const config::Train& train, double element) {
  switch (train.optimizer().kind_case()) {
    case config::UpdateRule::kSgd:
      return train.optimizer().sgd().momentum() > 0 ? element : 0;
    case config::UpdateRule::kLion:
      return element;
    case config::UpdateRule::kMuon:
      return 2 * element;
    case config::UpdateRule::kAdamw:
    case config::UpdateRule::KIND_NOT_SET:
      break;
  }
  switch (train.optimizer_state()) {
    case config::OPTIMIZER_STATE_FULL:
      return 2 * element;
    case config::OPTIMIZER_STATE_BF16:
      return 2 * 2;
    case config::OPTIMIZER_STATE_INT8:
      return 2 * (1 + 4.0 / 256);
  }
  return 2 * element;
}

std::string mesh_text(const planner::Axes& axes) {
  std::string text;
  const auto add = [&](const char* name, int size) {
    if (size > 1) {
      text += (text.empty() ? "" : ", ") + std::string(name) + ": " + std::to_string(size);
    }
  };
  add("data", axes.data);
  add("shard", axes.shard);
  add("tensor", axes.tensor);
  add("pipeline", axes.pipeline);
  return "{" + (text.empty() ? "data: 1" : text) + "}";
}

std::string nearest_text(const DecoderShape& model, const planner::Axes& axes, int ranks) {
  return "nearest mesh of " + std::to_string(ranks) + (ranks == 1 ? " rank: " : " ranks: ") +
         mesh_text(planner::nearest_legal(model_shape(model), axes, ranks));
}

}  // namespace

planner::ModelShape model_shape(const DecoderShape& model) {
  planner::ModelShape shape;
  shape.vocab = model.vocab_size;
  shape.hidden = model.hidden_size;
  shape.layers = model.num_layers;
  shape.heads = model.num_heads;
  shape.kv_heads = model.num_kv_heads;
  shape.head_dim = model.head_dim;
  shape.intermediate = model.intermediate_size;
  shape.positions = model.max_positions;
  shape.tied = model.tied;
  shape.gated = model.gated;
  shape.norm_bias = model.norm == DecoderShape::Norm::kLayer;
  shape.shared_norm = model.shared_norm;
  shape.parallel = model.parallel_residual;
  shape.qk_norm = model.qk_norm;
  shape.qkv_bias = model.qkv_bias;
  shape.o_bias = model.o_bias;
  shape.mlp_bias = model.mlp_bias;
  shape.head_bias = model.head_bias;
  shape.learned_positions = model.learned_positions;
  return shape;
}

namespace {

constexpr std::array<const char*, 7> kModules = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                 "gate_proj", "up_proj", "down_proj"};

// Which of the seven; the default when none is named.
template <class Names>
std::array<bool, 7> targets_of(const Names& names, const std::array<bool, 7>& otherwise) {
  std::array<bool, 7> targets = otherwise;
  for (std::size_t i = 0; i < kModules.size() && !names.empty(); ++i) {
    targets[i] = std::find(names.begin(), names.end(), kModules[i]) != names.end();
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
      {{".q_proj.", ".k_proj.", ".v_proj."}, {".o_proj."}, {".gate_proj.", ".up_proj."},
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
      shape.block_bytes =
          8 * kBits[static_cast<std::size_t>(method.qlora().base_form())] +
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

// Elements of what muon works on, of the largest tensor that trains: the whole of it, its next
// values, and two squares of the smaller side.
double muon_scratch(const config::Method& method, const DecoderShape& model) {
  double most = 0;
  const auto add = [&](std::int64_t rows, std::int64_t columns) {
    const std::int64_t side = std::min(rows, columns);
    if (side > 1) {
      most = std::max(most, static_cast<double>(2 * rows * columns + 2 * side * side));
    }
  };
  const planner::MethodShape shape = method_shape(method, model);
  const auto trained = trained_tensors(method, model);
  for (const LogicalShape& tensor : trained ? *trained : logical_tensors(model)) {
    if (layer_of(tensor.name) < 0 || tensor.columns == 0 || method.has_lift()) {
      continue;
    }
    if (shape.trains_base || shape.choice) {
      add(tensor.rows, tensor.columns);
    } else {
      add(tensor.rows, shape.rank);
      add(shape.rank, tensor.columns);
    }
  }
  return most;
}

}  // namespace

planner::Workload workload(const config::Train& train, const DecoderShape& model,
                           const planner::BatchShape& batch, double steps) {
  planner::Workload w;
  w.model = model_shape(model);
  w.method = method_shape(train.method(), model);
  w.batch = batch;
  const double element = train.precision() == config::PRECISION_F64 ? 8 : 4;
  w.bytes = {.weight = element,
             .gradient = element,
             .master = 0,
             .optimizer = state_bytes(train, element),
             .activation = element,
             .packed_state = train.optimizer_state() != config::OPTIMIZER_STATE_FULL,
             .rounded = train.precision() == config::PRECISION_BF16 ? 2.0 : 0.0};
  w.steps = std::max(1.0, steps);
  w.update_scratch =
      train.optimizer().has_muon() ? muon_scratch(train.method(), model) * element : 0;
  w.weighs_tokens = !(train.objective().has_sft() ||
                      train.objective().kind_case() == config::Objective::KIND_NOT_SET);
  w.keeps_best = train.keep() == config::KEEP_BEST ||
                 train.average().kind_case() != config::Average::KIND_NOT_SET;
  w.eval_tokens = train.objective().has_kto() ? batch.micro_tokens : 0;  // the batch is measured
  return w;
}

planner::Plan mesh_plan(const config::Mesh& mesh) {
  planner::Plan plan;
  plan.axes = {mesh.data(), mesh.shard(), mesh.tensor(), mesh.pipeline()};
  plan.zero = mesh.zero();
  plan.recompute = recompute_of(mesh);
  plan.overlap = mesh.overlap() == config::OVERLAPPING_ON;
  plan.interleave = mesh.interleave();
  plan.offload = offload_of(mesh);
  return plan;
}

planner::Settled settled_fields(const config::Mesh& mesh) {
  planner::Settled settled;
  const auto when = [](bool is_given, int value) {
    return is_given ? std::optional<int>(value) : std::nullopt;
  };
  settled.data = when(mesh.has_data(), mesh.data());
  settled.shard = when(mesh.has_shard(), mesh.shard());
  settled.tensor = when(mesh.has_tensor(), mesh.tensor());
  settled.pipeline = when(mesh.has_pipeline(), mesh.pipeline());
  settled.zero = when(mesh.has_zero(), mesh.zero());
  settled.interleave = when(mesh.has_interleave(), mesh.interleave());
  if (mesh.has_recompute()) {
    settled.recompute = recompute_of(mesh);
  }
  if (mesh.has_offload()) {
    settled.offload = offload_of(mesh);
  }
  if (mesh.overlap() != config::OVERLAPPING_AUTO) {
    settled.overlap = mesh.overlap() == config::OVERLAPPING_ON;
  }
  return settled;
}

std::vector<std::string> written_fields(const config::Mesh& mesh) {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  mesh.GetReflection()->ListFields(mesh, &fields);
  std::vector<std::string> names;
  names.reserve(fields.size());
  for (const auto* field : fields) {
    names.push_back(field->name());
  }
  return names;
}

void clear_unwritten(const std::vector<std::string>& written, config::Mesh& mesh) {
  for (const std::string& name : written_fields(mesh)) {
    if (std::find(written.begin(), written.end(), name) == written.end()) {
      mesh.GetReflection()->ClearField(&mesh, mesh.GetDescriptor()->FindFieldByName(name));
    }
  }
}

config::Mesh mesh_of(const planner::Plan& plan) {
  config::Mesh mesh;
  mesh.set_data(plan.axes.data);
  mesh.set_shard(plan.axes.shard);
  mesh.set_tensor(plan.axes.tensor);
  mesh.set_pipeline(plan.axes.pipeline);
  mesh.set_zero(plan.zero);
  switch (plan.recompute) {
    case planner::Recompute::kNone:
      mesh.set_recompute(config::RECOMPUTE_NONE);
      break;
    case planner::Recompute::kSelective:
      mesh.set_recompute(config::RECOMPUTE_SELECTIVE);
      break;
    case planner::Recompute::kFull:
      mesh.set_recompute(config::RECOMPUTE_FULL);
      break;
  }
  mesh.set_overlap(plan.overlap ? config::OVERLAPPING_ON : config::OVERLAPPING_OFF);
  mesh.set_interleave(plan.interleave);
  mesh.set_offload(offload_of(plan.offload));
  return mesh;
}

void resolve_mesh(config::Mesh& mesh) {
  if (!mesh.has_zero() && mesh.shard() > 1) {
    mesh.set_zero(1);
  }
}

std::string nearest_mesh_hint(const config::Sweep& sweep, int ranks) {
  return sweep.base().has_model() ? ""
                                  : nearest_text(unchecked_shape(sweep.base().architecture()),
                                                 mesh_plan(sweep.mesh()).axes, ranks);
}

void check_mesh(const DecoderShape& model, const config::Mesh& mesh) {
  const planner::Plan plan = mesh_plan(mesh);
  if (const auto fault = planner::find_fault(model_shape(model), plan)) {
    throw Error(ErrorKind::kConfig, fault->message, "mesh." + fault->field,
                nearest_text(model, plan.axes, plan.axes.ranks()));
  }
}

std::optional<double> parse_bytes(const std::string& text) {
  static constexpr std::array<std::pair<const char*, double>, 5> kUnits = {
      {{"", 1}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}, {"TiB", 1099511627776}}};
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string unit(result.ptr, text.data() + text.size());
  unit.erase(0, unit.find_first_not_of(' ') == std::string::npos ? 0 : unit.find_first_not_of(' '));
  for (const auto& [name, factor] : kUnits) {
    if (result.ec == std::errc() && unit == name && value * factor >= 1) {
      return value * factor;
    }
  }
  return std::nullopt;
}

}  // namespace finescale
