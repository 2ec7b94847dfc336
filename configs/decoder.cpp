// SPDX-License-Identifier: Apache-2.0
#include "configs/decoder.h"

#include <cmath>
#include <numbers>

#include "configs/families/family.h"
#include "configs/nearest_name.h"
#include "core/error.h"

namespace finescale {

namespace {

using google::protobuf::FieldDescriptor;

std::string number(std::int64_t value) {
  return std::to_string(value);
}

std::optional<ShapeFault> find_rope_fault(const DecoderShape& s) {
  if (s.rotary_dim % 2 != 0) {
    return s.rotary_dim == s.head_dim
               ? ShapeFault{"head_dim", "head_dim is " + number(s.head_dim) +
                                            ", must be even for rotary positions"}
               : ShapeFault{"rotary_fraction", "rotary_fraction rotates " + number(s.rotary_dim) +
                                                   " columns of a head of " + number(s.head_dim) +
                                                   ", must be an even number"};
  }
  if (!s.learned_positions && s.rotary_dim < 2) {
    return ShapeFault{"rotary_fraction", "rotary_fraction leaves no column of a head of " +
                                             number(s.head_dim) + " to rotate"};
  }
  if (s.rope.kind == RopeScaling::Kind::kFactors &&
      static_cast<int>(s.rope.factors.size()) != s.rotary_dim / 2) {
    return ShapeFault{"rope_scaling", "rope_scaling.factors has " +
                                          number(static_cast<std::int64_t>(s.rope.factors.size())) +
                                          " entries, must have " + number(s.rotary_dim / 2)};
  }
  if (s.rope.kind == RopeScaling::Kind::kLlama3 &&
      s.rope.low_freq_factor >= s.rope.high_freq_factor) {
    return ShapeFault{"rope_scaling",
                      "rope_scaling.llama3.high_freq_factor must be above low_freq_factor"};
  }
  return std::nullopt;
}

// Lists of tensors are made before any weight is looked for: a damaged count must not fill memory.
// The deepest published transformers have a thousand layers.
constexpr int kMaxLayers = 10'000;

std::optional<ShapeFault> fault_of(const DecoderShape& s) {
  if (s.num_layers > kMaxLayers) {
    return ShapeFault{"num_layers", "num_layers is " + number(s.num_layers) + ", must be at most " +
                                        number(kMaxLayers)};
  }
  if (s.num_heads % s.num_kv_heads != 0) {
    return ShapeFault{"num_kv_heads", "num_heads is " + number(s.num_heads) +
                                          ", must be a multiple of num_kv_heads (" +
                                          number(s.num_kv_heads) + ")"};
  }
  if (s.head_dim == 0) {
    return ShapeFault{"num_heads", "hidden_size is " + number(s.hidden_size) +
                                       ", must be a multiple of num_heads (" + number(s.num_heads) +
                                       "), or give head_dim"};
  }
  if (s.tied && s.head_bias) {
    return ShapeFault{"tie_embeddings", "tie_embeddings is true, but the head has a bias"};
  }
  return find_rope_fault(s);
}

}  // namespace

std::string family_name(const config::ModelConfig& config) {
  const FieldDescriptor* field = config.GetReflection()->GetOneofFieldDescriptor(
      config, config.GetDescriptor()->oneof_decl(0));
  return field == nullptr ? "llama" : field->name();
}

DecoderShape unchecked_shape(const config::ModelConfig& config) {
  return family_of(config).shape(config);
}

std::optional<ShapeFault> find_shape_fault(const config::ModelConfig& config) {
  return fault_of(unchecked_shape(config));
}

DecoderShape decoder_shape(const config::ModelConfig& config) {
  DecoderShape shape = unchecked_shape(config);
  if (const auto fault = fault_of(shape)) {
    throw Error(ErrorKind::kConfig, fault->message, family_name(config) + "." + fault->field);
  }
  return shape;
}

namespace {

// Llama 3.1: wavelengths in tokens, compared with the original context.
double llama3_frequency(const RopeScaling& rope, double frequency) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double context = rope.original_positions;
  if (wavelength < context / rope.high_freq_factor) {
    return frequency;
  }
  if (wavelength > context / rope.low_freq_factor) {
    return frequency / rope.factor;
  }
  const double smooth = (context / wavelength - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * frequency / rope.factor + smooth * frequency;
}

}  // namespace

std::vector<double> inverse_frequencies(const DecoderShape& shape) {
  const int half = shape.rotary_dim / 2;
  std::vector<double> frequencies;
  for (int i = 0; i < half; ++i) {
    const double plain =
        std::pow(shape.rope_theta, -static_cast<double>(i) / static_cast<double>(half));
    switch (shape.rope.kind) {
      case RopeScaling::Kind::kNone:
        frequencies.push_back(plain);
        break;
      case RopeScaling::Kind::kLinear:
        frequencies.push_back(plain / shape.rope.factor);
        break;
      case RopeScaling::Kind::kLlama3:
        frequencies.push_back(llama3_frequency(shape.rope, plain));
        break;
      case RopeScaling::Kind::kFactors:
        frequencies.push_back(plain / shape.rope.factors[static_cast<std::size_t>(i)]);
        break;
    }
  }
  return frequencies;
}

namespace {

class TensorList {
 public:
  explicit TensorList(const DecoderShape& shape) : shape_(shape) {}

  struct Matrix {
    std::string module;
    std::int64_t rows, columns;
  };
  // Matrices that read the same input, then their biases.
  void stack(std::initializer_list<Matrix> matrices, bool bias) {
    for (const Matrix& matrix : matrices) {
      out.push_back({matrix.module + ".weight", matrix.rows, matrix.columns});
    }
    for (const Matrix& matrix : matrices) {
      if (bias) {
        out.push_back({matrix.module + ".bias", matrix.rows, 0});
      }
    }
  }
  void norm(const std::string& module, std::int64_t width) {
    out.push_back({module + ".weight", width, 0});
    if (shape_.norm == DecoderShape::Norm::kLayer) {
      out.push_back({module + ".bias", width, 0});
    }
  }
  void layer(int index) {
    const DecoderShape& s = shape_;
    const std::string prefix = "model.layers." + std::to_string(index) + ".";
    norm(prefix + "input_layernorm", s.hidden_size);
    stack({{prefix + "self_attn.q_proj", s.query(), s.hidden_size},
           {prefix + "self_attn.k_proj", s.key(), s.hidden_size},
           {prefix + "self_attn.v_proj", s.key(), s.hidden_size}},
          s.qkv_bias);
    if (s.qk_norm) {
      out.push_back({prefix + "self_attn.q_norm.weight", s.head_dim, 0});
      out.push_back({prefix + "self_attn.k_norm.weight", s.head_dim, 0});
    }
    stack({{prefix + "self_attn.o_proj", s.hidden_size, s.query()}}, s.o_bias);
    if (!s.shared_norm) {
      norm(prefix + "post_attention_layernorm", s.hidden_size);
    }
    const Matrix up{prefix + "mlp.up_proj", s.intermediate_size, s.hidden_size};
    if (s.gated) {
      stack({{prefix + "mlp.gate_proj", s.intermediate_size, s.hidden_size}, up}, s.mlp_bias);
    } else {
      stack({up}, s.mlp_bias);
    }
    stack({{prefix + "mlp.down_proj", s.hidden_size, s.intermediate_size}}, s.mlp_bias);
  }

  std::vector<LogicalShape> out;

 private:
  const DecoderShape& shape_;
};

}  // namespace

std::vector<LogicalShape> logical_tensors(const DecoderShape& shape) {
  TensorList list(shape);
  list.stack({{"model.embed_tokens", shape.vocab_size, shape.hidden_size}}, false);
  if (shape.learned_positions) {
    list.stack({{"model.embed_positions", shape.max_positions, shape.hidden_size}}, false);
  }
  for (int layer = 0; layer < shape.num_layers; ++layer) {
    list.layer(layer);
  }
  list.norm("model.norm", shape.hidden_size);
  if (!shape.tied) {
    list.stack({{"lm_head", shape.vocab_size, shape.hidden_size}}, shape.head_bias);
  }
  return list.out;
}

namespace {

// What would change the result, whatever the family.
void refuse_foreign(const JsonFields& fields) {
  if (fields.has("quantization_config")) {
    throw Error(ErrorKind::kConfig, "quantization_config: quantised weights are not supported",
                fields.where(), "save the model dequantised first");
  }
  for (const char* key : {"is_encoder_decoder", "add_cross_attention"}) {
    fields.must_be_off(key);
  }
  if (!fields.has("architectures")) {
    return;
  }
  const nlohmann::json& names = fields.at("architectures");
  for (const auto& name : names) {
    const std::string text = name.is_string() ? name.get<std::string>() : "";
    if (!text.ends_with("ForCausalLM") && !text.ends_with("LMHeadModel") &&
        !text.ends_with("Model")) {
      fields.refuse("architectures", "only language models with a head over the vocabulary");
    }
  }
}

}  // namespace

config::ModelConfig model_config_from_json(const nlohmann::json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const std::string type = fields.text("model_type", "");
  const Family* family = find_family(type);
  if (family == nullptr) {
    throw Error(ErrorKind::kConfig,
                type.empty() ? "model_type is missing"
                             : "model_type is " + type + ", which is not supported",
                where, "supported: " + joined(family_model_types()));
  }
  refuse_foreign(fields);
  config::ModelConfig config;
  family->read(fields, config);
  if (const auto fault = find_shape_fault(config)) {
    throw Error(ErrorKind::kConfig, fault->message, where);
  }
  return config;
}

nlohmann::json model_config_to_json(const config::ModelConfig& config) {
  const Family& family = family_of(config);
  nlohmann::json json;
  json["model_type"] = family.files().model_type;
  json["architectures"] = {family.files().architecture};
  family.write(config, json);
  return json;
}

}  // namespace finescale
