// SPDX-License-Identifier: Apache-2.0
// Prompt and prefix tuning as PEFT keeps them: one tensor prompt_embeddings, [P, C] or [P, 2 L K D]
// (keys of the first layer, its values, keys of the second, ...).
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint/formats/safetensors.h"
#include "checkpoint/formats/safetensors_writer.h"
#include "configs/decoder.h"
#include "configs/method_shape.h"
#include "core/error.h"
#include "core/files.h"
#include "worker/import/peft.h"

namespace finescale {

namespace {

constexpr const char* kTensor = "prompt_embeddings";
constexpr const char* kPrompt = "model.embed_prompt/E";

std::string prefix_name(int layer, bool is_value) {
  return "model.layers." + std::to_string(layer) + ".self_attn.prefix/" + (is_value ? "V" : "K");
}

// Columns [at, at + width) of rows of `from` and of `to`, which is as wide.
void copy_columns(const WholeTensor& from, std::int64_t from_column, std::int64_t width,
                  WholeTensor& to, std::int64_t to_column) {
  for (std::int64_t row = 0; row < from.shape[0]; ++row) {
    std::copy_n(from.values.begin() + row * from.shape[1] + from_column, width,
                to.values.begin() + row * to.shape[1] + to_column);
  }
}

WholeTensor zeros(std::int64_t rows, std::int64_t columns) {
  return {Shape{rows, columns}, std::vector<double>(static_cast<std::size_t>(rows * columns))};
}

// What the network of a prefix makes, row by row; rows of W2 are in PEFT's order.
WholeTensor projected(const Adapter& adapter) {
  const auto part = [&](const char* name) -> const WholeTensor& {
    return adapter.apart.at(std::string("model.embed_prefix/") + name);
  };
  const auto layer = [](const WholeTensor& x, const WholeTensor& weight, const WholeTensor& bias) {
    WholeTensor y = zeros(x.shape[0], weight.shape[0]);
    const std::int64_t inputs = weight.shape[1];
    for (std::int64_t row = 0; row < y.shape[0]; ++row) {
      for (std::int64_t out = 0; out < y.shape[1]; ++out) {
        y.values[static_cast<std::size_t>(row * y.shape[1] + out)] = std::inner_product(
            x.values.begin() + row * inputs, x.values.begin() + (row + 1) * inputs,
            weight.values.begin() + out * inputs, bias.values[static_cast<std::size_t>(out)]);
      }
    }
    return y;
  };
  WholeTensor inner = layer(part("E"), part("W1"), part("b1"));
  for (double& value : inner.values) {
    value = std::tanh(value);
  }
  return layer(inner, part("W2"), part("b2"));
}

// All keys and values of a prefix side by side.
WholeTensor joined(const Adapter& adapter, const DecoderShape& model) {
  if (adapter.method.prefix_tuning().prefix_projection()) {
    return projected(adapter);
  }
  WholeTensor all =
      zeros(num_virtual_tokens(adapter.method), 2 * std::int64_t{model.num_layers} * model.key());
  for (int part = 0; part < 2 * model.num_layers; ++part) {
    copy_columns(adapter.apart.at(prefix_name(part / 2, part % 2 == 1)), 0, model.key(), all,
                 part * model.key());
  }
  return all;
}

}  // namespace

Adapter read_peft_tokens(const std::string& directory, bool is_prefix,
                         const config::ModelConfig& config) {
  const DecoderShape model = decoder_shape(config);
  const auto file = open_safetensors(directory + "/adapter_model.safetensors");
  const FileTensorInfo* const info = file->find(kTensor);
  const std::int64_t columns =
      is_prefix ? 2 * std::int64_t{model.num_layers} * model.key() : model.hidden_size;
  if (info == nullptr || info->shape.rank != 2 || info->shape[0] < 1 || info->shape[1] != columns) {
    throw Error(ErrorKind::kData,
                std::string("tensor ") + kTensor +
                    (info == nullptr ? " is missing" : " is " + info->shape.text()) +
                    ", must have " + std::to_string(columns) + " columns",
                file->path(), "does the adapter belong to this model?");
  }
  WholeTensor all = zeros(info->shape[0], columns);
  const std::int64_t count = std::ssize(all.values);
  file->read(*info, 0, count, {all.values.data(), DType::kF64, Shape{count}});
  Adapter adapter;
  const auto tokens = static_cast<int>(all.shape[0]);
  if (!is_prefix) {
    adapter.method.mutable_prompt_tuning()->set_num_virtual_tokens(tokens);
    adapter.apart[kPrompt] = std::move(all);
  } else {
    adapter.method.mutable_prefix_tuning()->set_num_virtual_tokens(tokens);
    for (int part = 0; part < 2 * model.num_layers; ++part) {
      WholeTensor& own = adapter.apart[prefix_name(part / 2, part % 2 == 1)];
      own = zeros(tokens, model.key());
      copy_columns(all, part * model.key(), model.key(), own, 0);
    }
  }
  adapter.why_apart = why_apart(adapter.method);
  return adapter;
}

void write_peft_tokens(const Adapter& adapter, const config::ModelConfig& config,
                       const std::string& base, const std::string& directory) {
  const DecoderShape model = decoder_shape(config);
  const bool is_prefix = adapter.method.has_prefix_tuning();
  const std::int64_t tokens = num_virtual_tokens(adapter.method);
  const WholeTensor all = is_prefix ? joined(adapter, model) : adapter.apart.at(kPrompt);
  std::vector<TensorToWrite> tensors;
  tensors.push_back(
      {kTensor, all.shape, [&all](std::int64_t begin, std::int64_t end, const TensorView& out) {
         for (std::int64_t i = begin; i < end; ++i) {
           out.as<float>()[i - begin] = static_cast<float>(all.values[static_cast<std::size_t>(i)]);
         }
       }});
  write_safetensors(directory + "/adapter_model.safetensors", std::move(tensors), StoredType::kF32);
  nlohmann::ordered_json json = {
      {"base_model_name_or_path", base.empty() ? nlohmann::json() : nlohmann::json(base)},
      {"inference_mode", true},
      {"num_attention_heads", is_prefix ? model.num_kv_heads : model.num_heads},
      {"num_layers", model.num_layers},
      {"num_transformer_submodules", 1},
      {"num_virtual_tokens", tokens},
      {"peft_type", is_prefix ? "PREFIX_TUNING" : "PROMPT_TUNING"},
      {"task_type", "CAUSAL_LM"},
      {"token_dim", is_prefix ? model.key() : std::int64_t{model.hidden_size}}};
  if (is_prefix) {
    json["encoder_hidden_size"] = model.hidden_size;
    json["prefix_projection"] = false;
  } else {
    json["prompt_tuning_init"] = "RANDOM";
  }
  write_file_atomically(directory + "/adapter_config.json", json.dump(2) + "\n");
}

}  // namespace finescale
