// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint/formats/safetensors_writer.h"
#include "configs/method_shape.h"
#include "core/error.h"
#include "core/files.h"
#include "worker/import/peft.h"

namespace finescale {

namespace {

TensorToWrite tensor_of(std::string name, const Shape& shape, const std::vector<double>& values) {
  return {std::move(name), shape,
          [&values](std::int64_t begin, std::int64_t end, const TensorView& out) {
            for (std::int64_t i = begin; i < end; ++i) {
              out.as<float>()[i - begin] = static_cast<float>(values[static_cast<std::size_t>(i)]);
            }
          }};
}

// q_proj of model.layers.0.self_attn.q_proj. GPT-2 calls two matrices of a layer c_proj:
// attn.c_proj.
std::string target_of(const std::string& module, bool with_parent) {
  const std::size_t last = module.rfind('.');
  return module.substr((with_parent ? module.rfind('.', last - 1) : last) + 1);
}

// alpha = scale * rank is a whole number in nearly every adapter: written as one.
nlohmann::json number(double value) {
  const bool is_whole = value == std::floor(value) && std::abs(value) < 1e9;
  return is_whole ? nlohmann::json(static_cast<std::int64_t>(value)) : nlohmann::json(value);
}

enum class Kind { kLora, kDora, kIa3, kVera };

Kind kind_of(const ModuleChange& change) {
  if (!change.outer.empty()) {
    return Kind::kVera;
  }
  return change.rank == 0 ? Kind::kIa3 : change.magnitude.empty() ? Kind::kLora : Kind::kDora;
}

// The tensors of one module, under its name in the files.
void add_tensors(const std::string& name, const ModuleChange& change,
                 std::vector<TensorToWrite>& tensors) {
  const std::string stem = "base_model.model." + name;
  if (kind_of(change) == Kind::kIa3) {
    const bool input = change.outputs.empty();
    const std::vector<double>& factors = input ? change.inputs : change.outputs;
    const std::int64_t count = std::ssize(factors);
    tensors.push_back(
        tensor_of(stem + ".ia3_l", input ? Shape{1, count} : Shape{count, 1}, factors));
    return;
  }
  if (kind_of(change) == Kind::kVera) {
    const auto add = [&](const char* part, const std::vector<double>& values) {
      tensors.push_back(tensor_of(stem + part, Shape{std::ssize(values)}, values));
    };
    add(".vera_lambda_b", change.outer);
    add(".vera_lambda_d", change.inner);
    return;
  }
  const std::int64_t rows = std::ssize(change.b) / change.rank;
  const std::int64_t columns = std::ssize(change.a) / change.rank;
  tensors.push_back(tensor_of(stem + ".lora_A.weight", Shape{change.rank, columns}, change.a));
  tensors.push_back(tensor_of(stem + ".lora_B.weight", Shape{rows, change.rank}, change.b));
  if (!change.magnitude.empty()) {
    tensors.push_back(tensor_of(stem + ".lora_magnitude_vector", Shape{rows}, change.magnitude));
  }
}

std::int64_t rows_of(const ModuleChange& change, std::int64_t file_rows) {
  if (change.rank > 0) {
    return std::ssize(change.b) / change.rank;
  }
  return change.outputs.empty() ? file_rows : std::ssize(change.outputs);
}

nlohmann::ordered_json config_of(const ModuleChange& change, const std::string& base,
                                 const std::set<std::string>& targets,
                                 const std::set<std::string>& on_inputs, bool transposed) {
  nlohmann::ordered_json json = {
      {"base_model_name_or_path", base.empty() ? nlohmann::json() : nlohmann::json(base)},
      {"fan_in_fan_out", transposed},
      {"inference_mode", true},
      {"modules_to_save", nullptr},
      {"target_modules", targets},
      {"task_type", "CAUSAL_LM"}};
  if (kind_of(change) == Kind::kIa3) {
    json["peft_type"] = "IA3";
    json["feedforward_modules"] = on_inputs;
    json["init_ia3_weights"] = true;
    return json;
  }
  if (kind_of(change) == Kind::kVera) {
    json["peft_type"] = "VERA";
    json["bias"] = "none";
    json["d_initial"] = 0.1;
    json["init_weights"] = true;
    json["projection_prng_key"] = 0;  // not used: the matrices are in the file
    json["r"] = change.rank;
    json["save_projection"] = true;
    json["vera_dropout"] = 0.0;
    return json;
  }
  json["peft_type"] = "LORA";
  json["bias"] = "none";
  json["init_lora_weights"] = true;
  json["lora_alpha"] = number(change.scale * change.rank);
  json["lora_dropout"] = 0.0;
  json["r"] = change.rank;
  json["use_dora"] = kind_of(change) == Kind::kDora;
  json["use_rslora"] = false;
  return json;
}

}  // namespace

void write_peft(const Adapter& adapter, const config::ModelConfig& config, const std::string& base,
                const std::string& directory) {
  if (num_virtual_tokens(adapter.method) > 0) {
    write_peft_tokens(adapter, config, base, directory);
    return;
  }
  if (!adapter.why_apart.empty()) {
    throw Error(ErrorKind::kConfig, adapter.why_apart + ": PEFT has no such kind", {},
                "export --format hdf5 keeps it as it is");
  }
  FS_CHECK(!adapter.modules.empty(), "an adapter changes something");
  std::vector<TensorToWrite> tensors;
  std::set<std::string> targets;
  std::set<std::string> on_inputs;
  bool transposed = false;
  const ModuleChange& first = adapter.modules.begin()->second;
  for (const auto& [module, change] : adapter.modules) {
    const FileTensor place = hf_tensor(config, module + ".weight");
    if (place.file_rows != rows_of(change, place.file_rows)) {
      throw Error(ErrorKind::kConfig,
                  module + " is a part of " + place.name +
                      " in this family's files, which PEFT adapts as one matrix",
                  {}, "export the merged model: --format hf --merge");
    }
    if (kind_of(change) != kind_of(first)) {
      throw Error(ErrorKind::kConfig, "the adapter mixes kinds, which PEFT's layout cannot say", {},
                  "export the merged model: --format hf --merge");
    }
    FS_CHECK(change.rank == first.rank && change.scale == first.scale, "one rank and scale");
    const std::string name =
        place.name.substr(0, place.name.size() - std::string_view(".weight").size());
    transposed = transposed || place.transposed;
    const std::string target = target_of(name, place.transposed);
    targets.insert(target);
    if (!change.inputs.empty()) {
      on_inputs.insert(target);
    }
    add_tensors(name, change, tensors);
  }
  if (!adapter.vera_a.empty()) {
    const std::int64_t rank = first.rank;
    const auto add = [&](const char* name, std::int64_t rows, const std::vector<double>& values) {
      tensors.push_back(tensor_of(name, Shape{rows, std::ssize(values) / rows}, values));
    };
    add("base_model.vera_A", rank, adapter.vera_a);
    add("base_model.vera_B", std::ssize(adapter.vera_b) / rank, adapter.vera_b);
  }
  write_safetensors(directory + "/adapter_model.safetensors", std::move(tensors), StoredType::kF32);
  const nlohmann::ordered_json json = config_of(first, base, targets, on_inputs, transposed);
  write_file_atomically(directory + "/adapter_config.json", json.dump(2) + "\n");
}

}  // namespace finescale
