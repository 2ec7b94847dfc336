// SPDX-License-Identifier: Apache-2.0
#include "configs/mesh_plan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "configs/method_rules.h"
#include "configs/method_shape.h"
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
    case config::UpdateRule::kAdafactor:
      return 0;
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

bool reads_base(const config::Method& method) {
  const bool is_plain_lora = method.has_lora() && method.lora().init() != config::LORA_INIT_PISSA;
  return !is_plain_lora && !method.has_qlora() && !method.has_ia3() && !method.has_allora() &&
         !method.has_vera() && !method.has_bottleneck() && !method.has_prefix_tuning() &&
         !(method.has_prompt_tuning() &&
           method.prompt_tuning().prompt_tuning_init() == config::PROMPT_TUNING_INIT_RANDOM);
}

bool rounds_table(const config::Train& train) {
  return train.method().has_qlora() && train.precision() == config::PRECISION_BF16;
}

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
             .rounded = train.precision() == config::PRECISION_BF16 ? 2.0 : 0.0,
             .rounded_alone = !reads_base(train.method()),
             .rounded_table = rounds_table(train)};
  w.steps = std::max(1.0, steps);
  w.update_bytes = whole_elements(train, model) * element;
  w.weighs_tokens = learns_from_pairs(train.objective());
  if (train.objective().has_distill()) {  // the model that training starts from, unless told
    w.teacher = w.model;
  }
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
