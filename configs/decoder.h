// SPDX-License-Identifier: Apache-2.0
// One decoder-only transformer with every knob that a family of models sets, and the way to it from
// ModelConfig and from Hugging Face's config.json. Pure data: the model reads knobs, never which
// family set them. A family is one message of the schema and one file of configs/families.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "configs/schema/model.pb.h"

namespace finescale {

struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3, kFactors };
  Kind kind = Kind::kNone;
  double factor = 1;            // linear, llama3
  double low_freq_factor = 1;   // llama3
  double high_freq_factor = 4;  // llama3
  int original_positions = 0;   // llama3
  std::vector<double> factors;  // kFactors: a divisor of each frequency
};

struct DecoderShape {
  enum class Norm { kRms, kLayer };  // LayerNorm has weight and bias
  enum class Activation { kSilu, kGeluTanh, kGelu };

  int vocab_size = 0;
  int hidden_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;  // resolved, as head_dim and intermediate_size are
  int head_dim = 0;
  int intermediate_size = 0;
  int max_positions = 0;
  bool tied = true;  // the head is the embedding

  Norm norm = Norm::kRms;
  double norm_eps = 1e-6;
  double norm_offset = 0;  // RMSNorm multiplies by weight + this
  Activation activation = Activation::kSilu;
  bool gated = true;  // down(act(gate x) * up x); else down(act(up x))
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool head_bias = false;
  bool qk_norm = false;  // RMSNorm over each head of q and k, before the rotation
  bool learned_positions = false;
  int rotary_dim = 0;  // leading columns of each head that are rotated; 0: none
  double rope_theta = 10000;
  RopeScaling rope;
  // x + attention(norm1 x) + mlp(norm2 x); with shared_norm there is one norm for both.
  bool parallel_residual = false;
  bool shared_norm = false;
  int sliding_window = 0;  // tokens that a token sees, itself included; 0: all before it
  int first_window_layer = 0;
  double embedding_scale = 1;
  double initializer_range = 0.02;

  [[nodiscard]] bool has_rotation() const noexcept { return rotary_dim > 0; }
  [[nodiscard]] int window_of_layer(int layer) const noexcept {
    return layer >= first_window_layer ? sliding_window : 0;
  }
  [[nodiscard]] std::int64_t query() const noexcept { return std::int64_t{num_heads} * head_dim; }
  [[nodiscard]] std::int64_t key() const noexcept { return std::int64_t{num_kv_heads} * head_dim; }
};

// What is wrong with a shape: the field, and the rest of the sentence that its path begins.
struct ShapeFault {
  std::string field;
  std::string message;  // "num_heads is 5, must be ..."
};

// Throws kConfig when the shape has a fault. No kind set means a llama with the schema's defaults.
[[nodiscard]] DecoderShape decoder_shape(const config::ModelConfig& config);
[[nodiscard]] std::optional<ShapeFault> find_shape_fault(const config::ModelConfig& config);
// The same without a look for faults: head_dim is 0 where heads do not divide the width.
[[nodiscard]] DecoderShape unchecked_shape(const config::ModelConfig& config);
// Name of the kind that is set, as written in YAML.
[[nodiscard]] std::string family_name(const config::ModelConfig& config);

// Angle per position of each rotated pair, [rotary_dim / 2].
[[nodiscard]] std::vector<double> inverse_frequencies(const DecoderShape& shape);

// Every tensor of a model, in the order in which checkpoints hold them: logical names are those of
// the Hugging Face layout of llama for every family. All matrices are [out, in]. An absent
// activation gate, bias or norm has no tensor, a tied head neither.
struct LogicalShape {
  std::string name;
  std::int64_t rows = 0;
  std::int64_t columns = 0;  // 0: a vector of `rows` elements
};
[[nodiscard]] std::vector<LogicalShape> logical_tensors(const DecoderShape& shape);

// Hugging Face config.json <-> ModelConfig. Throws kConfig naming the key for what would change the
// result and is not supported; harmless keys are ignored. `where` is the file.
[[nodiscard]] config::ModelConfig model_config_from_json(const nlohmann::json& json,
                                                         const std::string& where);
[[nodiscard]] nlohmann::json model_config_to_json(const config::ModelConfig& config);

}  // namespace finescale
