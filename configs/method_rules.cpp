// SPDX-License-Identifier: Apache-2.0
#include "configs/method_rules.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "configs/chosen_tensors.h"
#include "configs/method_shape.h"

namespace finescale {

namespace {

// What the kinds that put adapters on linear layers have in common.
struct Adapters {
  std::string kind;  // empty: the method has none
  std::vector<std::string> modules;
  int rank = 0;
};

// Fields of one name mean the same in the messages of all kinds.
Adapters adapters_of(const config::Method& method) {
  const google::protobuf::FieldDescriptor* kind = method.GetReflection()->GetOneofFieldDescriptor(
      method, method.GetDescriptor()->oneof_decl(0));
  if (kind == nullptr) {
    return {};
  }
  const google::protobuf::Message& config = method.GetReflection()->GetMessage(method, kind);
  const google::protobuf::Reflection& values = *config.GetReflection();
  const auto* modules = config.GetDescriptor()->FindFieldByName("target_modules");
  if (modules == nullptr) {
    return {};
  }
  Adapters adapters{std::string(kind->name()), {}};
  for (int i = 0; i < values.FieldSize(config, modules); ++i) {
    adapters.modules.push_back(values.GetRepeatedString(config, modules, i));
  }
  if (const auto* rank = config.GetDescriptor()->FindFieldByName("rank"); rank != nullptr) {
    adapters.rank = values.GetInt32(config, rank);
  }
  return adapters;
}

// The smaller side of a matrix; 0: the model has none of that name.
int smaller_side(const DecoderShape& model, std::string_view module) {
  const auto width = static_cast<std::int64_t>(model.hidden_size);
  std::int64_t other = model.intermediate_size;
  if (module == "q_proj" || module == "o_proj") {
    other = model.query();
  } else if (module == "k_proj" || module == "v_proj") {
    other = model.key();
  } else if (module == "gate_proj" && !model.gated) {
    other = 0;
  }
  return static_cast<int>(std::min(width, other));
}

}  // namespace

namespace {

void check_prefix(const config::Train& train, const std::string& path, const RuleReport& report) {
  const config::PrefixTuning& prefix = train.method().prefix_tuning();
  const std::string field = path + ".method.prefix_tuning.encoder_hidden_size";
  report.require(!prefix.has_encoder_hidden_size() || prefix.prefix_projection(), field,
                 field + " needs prefix_projection: true");
}

void check_prompt(const config::Train& train, const std::string& path, const RuleReport& report) {
  const config::PromptTuning& prompt = train.method().prompt_tuning();
  const std::string field = path + ".method.prompt_tuning.";
  const bool has_text = prompt.has_prompt_tuning_init_text();
  const bool has_ids = prompt.prompt_tuning_init_ids_size() > 0;
  report.require(!has_text || !has_ids, field + "prompt_tuning_init_ids",
                 field + "prompt_tuning_init_ids excludes prompt_tuning_init_text");
  const char* const given = has_text ? "prompt_tuning_init_text" : "prompt_tuning_init_ids";
  const bool is_text = prompt.prompt_tuning_init() == config::PROMPT_TUNING_INIT_TEXT;
  report.require(is_text || !(has_text || has_ids), field + given,
                 field + given + " needs prompt_tuning_init: text");
  report.require(!is_text || has_text || has_ids, field + "prompt_tuning_init",
                 field + "prompt_tuning_init: text has no text",
                 "give prompt_tuning_init_text, or prompt_tuning_init_ids");
}

}  // namespace

void check_method(const config::Train& train, const std::string& path, const RuleReport& report) {
  const Adapters adapters = adapters_of(train.method());
  const std::string field = path + ".method." + adapters.kind + ".target_modules";
  for (const std::string& module : adapters.modules) {
    report.require_known(module_names(), module, field);
  }
  check_prompt(train, path, report);
  check_prefix(train, path, report);
  const std::string refresh = path + ".method.lift.refresh";
  const bool is_refreshed = train.method().lift().has_refresh();
  report.require(!is_refreshed || train.keep() != config::KEEP_BEST, refresh,
                 refresh + " excludes " + path +
                     ".keep: best: the best weights would have another "
                     "mask",
                 "use keep: last");
  const config::LiftMask mask = train.method().lift().mask();
  const bool moves =
      is_refreshed || mask == config::LIFT_MASK_GRADIENT || mask == config::LIFT_MASK_MOVEMENT;
  report.require(
      !moves || train.optimizer_state() == config::OPTIMIZER_STATE_FULL, path + ".optimizer_state",
      path + ".optimizer_state must be full: state moves from element to element of a mask",
      "leave it out: the state is small");
}

bool is_beside_weights(const config::Method& method) {
  return method.has_bottleneck() || num_virtual_tokens(method) > 0;
}

std::optional<MethodFault> virtual_token_fault(const config::Method& method,
                                               const DecoderShape& model, std::int64_t max_length) {
  const std::int64_t count = num_virtual_tokens(method);
  const std::int64_t all = count + max_length;
  const auto number = [](std::int64_t value) { return std::to_string(value); };
  if (count == 0) {
    return std::nullopt;
  }
  if (all > model.max_positions) {
    return MethodFault{"is " + number(count) + ", with data.max_length " + number(max_length) +
                           " more than the model's " + number(model.max_positions) + " positions",
                       "lower one of them"};
  }
  for (int layer = 0; layer < model.num_layers; ++layer) {
    if (const int window = model.window_of_layer(layer); window > 0 && window < all) {
      return MethodFault{"is " + number(count) + ", with data.max_length " + number(max_length) +
                             " more than the model's window of " + number(window) +
                             " tokens: not all would see them",
                         "lower data.max_length, or choose another method"};
    }
  }
  return std::nullopt;
}

void check_positions(const config::Train& train, const DecoderShape& model, std::int64_t max_length,
                     const std::string& path, const RuleReport& report) {
  const std::string field =
      path + (train.method().has_prompt_tuning() ? ".method.prompt_tuning.num_virtual_tokens"
                                                 : ".method.prefix_tuning.num_virtual_tokens");
  if (const auto fault = virtual_token_fault(train.method(), model, max_length)) {
    report.fail(field, field + " " + fault->message, fault->hint);
  }
}

bool needs_reference(const config::Objective& objective) {
  return objective.has_dpo() || objective.has_kto();
}

bool learns_from_pairs(const config::Objective& objective) {
  return objective.kind_case() != config::Objective::KIND_NOT_SET && !objective.has_sft() &&
         !objective.has_distill();
}

void check_optimizer(const config::Train& train, const std::string& path,
                     const RuleReport& report) {
  const config::UpdateRule& rule = train.optimizer();
  const bool is_adamw = rule.kind_case() == config::UpdateRule::KIND_NOT_SET || rule.has_adamw();
  const auto excludes = [&](bool clash, const std::string& field, const std::string& hint) {
    report.require(!clash, path + "." + field,
                   path + "." + field + " is of adamw, but " + path + ".optimizer is another rule",
                   hint);
  };
  excludes(!is_adamw && train.optimizer_state() != config::OPTIMIZER_STATE_FULL, "optimizer_state",
           "leave it out");
  excludes(!is_adamw && report.is_written(path + ".betas"), "betas",
           "lion has beta1 and beta2, sgd momentum");
  excludes(!is_adamw && report.is_written(path + ".eps"), "eps", "leave it out");
  const bool averages = train.average().kind_case() != config::Average::KIND_NOT_SET;
  report.require(!averages || train.keep() != config::KEEP_BEST, path + ".average",
                 path + ".average excludes " + path + ".keep: best: one of them says what is left",
                 "use keep: last");
  report.require(!averages || !train.method().lift().has_refresh(), path + ".average",
                 path + ".average excludes " + path +
                     ".method.lift.refresh: other elements train "
                     "later",
                 "leave refresh out");
  report.require(!rule.sgd().nesterov() || rule.sgd().momentum() > 0,
                 path + ".optimizer.sgd.nesterov", path + ".optimizer.sgd.nesterov needs momentum",
                 "give momentum: 0.9");
}

namespace {

void check_selective(const config::Selective& config, const DecoderShape& model,
                     const std::string& path, const RuleReport& report) {
  const auto element = [](const std::string& field, int index) {
    return field + "[" + std::to_string(index) + "]";
  };
  for (int i = 0; i < config.layers_size(); ++i) {
    report.require(config.layers(i) < model.num_layers, element(path + ".layers", i),
                   path + ".layers: " + std::to_string(config.layers(i)) + ", must be < " +
                       std::to_string(model.num_layers) + ", the model's layers");
  }
  for (int i = 0; i < config.parameters_size(); ++i) {
    const TensorChoice choice = {{config.parameters(i)},
                                 {config.layers().begin(), config.layers().end()}};
    if (!chosen_tensors(model, choice).empty()) {
      continue;
    }
    const std::string near = nearest_tensor(model, config.parameters(i));
    report.fail(element(path + ".parameters", i),
                path + ".parameters: the model has no tensor " + config.parameters(i) +
                    (near.empty() ? "" : ", did you mean " + near + "?"),
                config.layers_size() > 0 ? "only tensors of the layers named are looked at"
                                         : "* stands for anything: mlp.*.weight");
  }
}

}  // namespace

void check_method_fits(const config::Train& train, const DecoderShape& model,
                       const std::string& path, const RuleReport& report) {
  if (train.method().has_selective()) {
    check_selective(train.method().selective(), model, path + ".method.selective", report);
  }
  report.require(!train.method().has_bitfit() ||
                     !chosen_tensors(model, *tensor_choice(train.method())).empty(),
                 path + ".method.bitfit", path + ".method.bitfit: the model has no biases",
                 "gpt2, gpt_neox, phi and qwen2 have some; choose selective with norms");
  const int last = train.method().full().last_layers();
  report.require(last <= model.num_layers, path + ".method.full.last_layers",
                 path + ".method.full.last_layers is " + std::to_string(last) +
                     ", must be <= " + std::to_string(model.num_layers) + ", the model's layers");
  const config::PromptTuning& prompt = train.method().prompt_tuning();
  for (int i = 0; i < prompt.prompt_tuning_init_ids_size(); ++i) {
    const std::string ids = path + ".method.prompt_tuning.prompt_tuning_init_ids";
    report.require(prompt.prompt_tuning_init_ids(i) < model.vocab_size,
                   ids + "[" + std::to_string(i) + "]",
                   ids + ": " + std::to_string(prompt.prompt_tuning_init_ids(i)) + ", must be < " +
                       std::to_string(model.vocab_size) + ", the model's tokens");
  }
  const Adapters adapters = adapters_of(train.method());
  if (adapters.kind.empty()) {
    return;
  }
  const std::string field = path + ".method." + adapters.kind;
  for (const std::string& module : adapters.modules) {
    report.require(smaller_side(model, module) > 0, field + ".target_modules",
                   field + ".target_modules: the model has no " + module,
                   "its feed-forward layers have up_proj and down_proj");
  }
  for (const std::string& module : adapters.modules.empty() ? module_names() : adapters.modules) {
    const int side = smaller_side(model, module);
    // Diagonals are learnt of any number of random directions; a whole matrix is its own
    // approximation of any higher rank.
    const bool is_bounded = !train.method().has_vera() && !train.method().has_lift();
    report.require(!is_bounded || side == 0 || adapters.rank <= side, field + ".rank",
                   field + ".rank is " + std::to_string(adapters.rank) +
                       ", must be <= " + std::to_string(side) + ", the smaller side of " + module);
  }
}

void check_method_on_mesh(const config::Train& train, const DecoderShape& model,
                          const config::Mesh& mesh, const std::string& path,
                          const RuleReport& report) {
  const std::optional<TensorChoice> choice = tensor_choice(train.method());
  const bool trains_table = choice && is_chosen(*choice, "model.embed_tokens.weight");
  const bool is_projected = train.method().prefix_tuning().prefix_projection();
  const std::string projection = path + ".method.prefix_tuning.prefix_projection";
  report.require(!is_projected || mesh.pipeline() == 1, projection,
                 projection + " makes the keys of all layers in one network: mesh.pipeline is " +
                     std::to_string(mesh.pipeline()) + ", must be 1",
                 "leave it out: keys and values train themselves");
  report.require(!trains_table || !model.tied || mesh.pipeline() == 1, path + ".method",
                 path + ".method trains the embedding, which is also the head: mesh.pipeline is " +
                     std::to_string(mesh.pipeline()) + ", must be 1",
                 "leave embed_tokens out, or use full");
}

}  // namespace finescale
