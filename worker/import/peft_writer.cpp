// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint/formats/safetensors_writer.h"
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

}  // namespace

void write_peft(const Adapter& adapter, const config::ModelConfig& config, const std::string& base,
                const std::string& directory) {
  FS_CHECK(!adapter.modules.empty(), "an adapter changes something");
  if (!adapter.is_plain_lora()) {
    throw Error(ErrorKind::kConfig, "only LoRA adapters are written in PEFT's layout", {},
                "export the merged model: --format hf --merge");
  }
  std::vector<TensorToWrite> tensors;
  std::set<std::string> targets;
  bool transposed = false;
  const ModuleChange& first = adapter.modules.begin()->second;
  for (const auto& [module, change] : adapter.modules) {
    const FileTensor place = hf_tensor(config, module + ".weight");
    const std::int64_t rows = std::ssize(change.b) / change.rank;
    if (place.file_rows != rows) {
      throw Error(ErrorKind::kConfig,
                  module + " is a part of " + place.name +
                      " in this family's files, which PEFT adapts as one matrix",
                  {}, "export the merged model: --format hf --merge");
    }
    FS_CHECK(change.rank == first.rank && change.scale == first.scale, "one rank and scale");
    const std::string name =
        place.name.substr(0, place.name.size() - std::string_view(".weight").size());
    transposed = transposed || place.transposed;
    targets.insert(target_of(name, place.transposed));
    const std::int64_t columns = std::ssize(change.a) / change.rank;
    tensors.push_back(tensor_of("base_model.model." + name + ".lora_A.weight",
                                Shape{change.rank, columns}, change.a));
    tensors.push_back(tensor_of("base_model.model." + name + ".lora_B.weight",
                                Shape{rows, change.rank}, change.b));
  }
  write_safetensors(directory + "/adapter_model.safetensors", std::move(tensors), StoredType::kF32);
  const nlohmann::ordered_json json = {
      {"base_model_name_or_path", base.empty() ? nlohmann::json() : nlohmann::json(base)},
      {"bias", "none"},
      {"fan_in_fan_out", transposed},
      {"inference_mode", true},
      {"init_lora_weights", true},
      {"lora_alpha", number(first.scale * first.rank)},
      {"lora_dropout", 0.0},
      {"modules_to_save", nullptr},
      {"peft_type", "LORA"},
      {"r", first.rank},
      {"target_modules", targets},
      {"task_type", "CAUSAL_LM"},
      {"use_dora", false},
      {"use_rslora", false}};
  write_file_atomically(directory + "/adapter_config.json", json.dump(2) + "\n");
}

}  // namespace finescale
