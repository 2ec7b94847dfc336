// SPDX-License-Identifier: Apache-2.0
#include "configs/families/fields.h"

#include <algorithm>
#include <array>

#include "core/error.h"

namespace finescale::families {

RopeScaling rope_of(const config::RopeScaling& scaling) {
  RopeScaling rope;
  switch (scaling.kind_case()) {
    case config::RopeScaling::KIND_NOT_SET:
      break;
    case config::RopeScaling::kLinear:
      rope.kind = RopeScaling::Kind::kLinear;
      rope.factor = scaling.linear().factor();
      break;
    case config::RopeScaling::kLlama3:
      rope.kind = RopeScaling::Kind::kLlama3;
      rope.factor = scaling.llama3().factor();
      rope.low_freq_factor = scaling.llama3().low_freq_factor();
      rope.high_freq_factor = scaling.llama3().high_freq_factor();
      rope.original_positions = scaling.llama3().original_positions();
      break;
    case config::RopeScaling::kFactors:
      rope.kind = RopeScaling::Kind::kFactors;
      rope.factors.assign(scaling.factors().factors().begin(), scaling.factors().factors().end());
      break;
  }
  return rope;
}

namespace {

void read_scaling_object(const JsonFields& rope, int max_positions, config::RopeScaling& out) {
  const std::string key = rope.has("rope_type") ? "rope_type" : "type";
  const std::string type = rope.text(key, "default");
  if (type == "linear") {
    out.mutable_linear()->set_factor(rope.positive("factor"));
  } else if (type == "llama3") {
    config::Llama3Rope& llama3 = *out.mutable_llama3();
    llama3.set_factor(rope.positive("factor"));
    llama3.set_low_freq_factor(rope.positive("low_freq_factor"));
    llama3.set_high_freq_factor(rope.positive("high_freq_factor"));
    llama3.set_original_positions(rope.whole("original_max_position_embeddings", max_positions));
  } else if (type != "default") {
    rope.refuse(key, "supported: default, linear, llama3");
  }
}

}  // namespace

void read_rope_scaling(const JsonFields& fields, int max_positions, config::RopeScaling& out) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (fields.has(key)) {
      read_scaling_object(fields.object(key), max_positions, out);
      return;
    }
  }
}

double read_rope_theta(const JsonFields& fields, double otherwise) {
  if (fields.has("rope_parameters") && fields.object("rope_parameters").has("rope_theta")) {
    return fields.object("rope_parameters").positive("rope_theta");
  }
  return fields.positive("rope_theta", fields.positive("rotary_emb_base", otherwise));
}

double read_rotary_fraction(const JsonFields& fields, double otherwise) {
  if (fields.has("rope_parameters") &&
      fields.object("rope_parameters").has("partial_rotary_factor")) {
    return fields.object("rope_parameters").positive("partial_rotary_factor");
  }
  return fields.positive("partial_rotary_factor", fields.positive("rotary_pct", otherwise));
}

void write_rope_scaling(const config::RopeScaling& scaling, nlohmann::json& json) {
  switch (scaling.kind_case()) {
    case config::RopeScaling::KIND_NOT_SET:
      return;
    case config::RopeScaling::kLinear:
      json["rope_scaling"] = {{"rope_type", "linear"}, {"factor", scaling.linear().factor()}};
      return;
    case config::RopeScaling::kLlama3: {
      const config::Llama3Rope& llama3 = scaling.llama3();
      json["rope_scaling"] = {{"rope_type", "llama3"},
                              {"factor", llama3.factor()},
                              {"low_freq_factor", llama3.low_freq_factor()},
                              {"high_freq_factor", llama3.high_freq_factor()},
                              {"original_max_position_embeddings", llama3.original_positions()}};
      return;
    }
    case config::RopeScaling::kFactors:
      throw Error(ErrorKind::kConfig, "config.json has no words for rope_scaling.factors",
                  "rope_scaling.factors", "write GGUF, or give rope_scaling.llama3 instead");
  }
}

void require_silu(const JsonFields& fields) {
  const std::string act = fields.text("hidden_act", "silu");
  if (act != "silu" && act != "swish") {
    fields.refuse("hidden_act", "supported: silu");
  }
}

config::Gelu read_gelu(const JsonFields& fields, const std::string& key, config::Gelu otherwise) {
  if (!fields.has(key)) {
    return otherwise;
  }
  const std::string act = fields.text(key, "");
  static constexpr std::array<const char*, 4> kTanh = {"gelu_new", "gelu_pytorch_tanh", "gelu_fast",
                                                       "gelu_python_tanh"};
  if (std::find(kTanh.begin(), kTanh.end(), act) != kTanh.end()) {
    return config::GELU_TANH;
  }
  if (act != "gelu" && act != "gelu_python") {
    fields.refuse(key, "supported: gelu, gelu_new, gelu_pytorch_tanh");
  }
  return config::GELU_ERF;
}

DecoderShape::Activation activation_of(config::Gelu gelu) {
  switch (gelu) {
    case config::GELU_TANH:
      return DecoderShape::Activation::kGeluTanh;
    case config::GELU_ERF:
      return DecoderShape::Activation::kGelu;
  }
  return DecoderShape::Activation::kGelu;
}

Windows read_layer_windows(const JsonFields& fields, int num_layers) {
  Windows windows;
  const bool uses = fields.flag("use_sliding_window", false);
  if (uses && fields.has("sliding_window")) {
    windows.size = fields.whole("sliding_window");
    windows.first_layer = fields.whole("max_window_layers", 28, 0);
  }
  if (!fields.has("layer_types")) {
    return windows;
  }
  const nlohmann::json& types = fields.at("layer_types");
  if (!types.is_array() || types.size() != static_cast<std::size_t>(num_layers)) {
    fields.refuse("layer_types", "it must list one type per layer");
  }
  // Full layers first, windows from one layer on.
  int first = 0;
  while (first < num_layers && types[static_cast<std::size_t>(first)] == "full_attention") {
    ++first;
  }
  for (int layer = first; layer < num_layers; ++layer) {
    if (types[static_cast<std::size_t>(layer)] != "sliding_attention" || !uses) {
      fields.refuse("layer_types", "supported: full_attention, then sliding_attention");
    }
  }
  windows.first_layer = first;
  return first == num_layers ? Windows{} : windows;
}

void write_layer_windows(const Windows& windows, int num_layers, nlohmann::json& json) {
  json["use_sliding_window"] = windows.size > 0;
  if (windows.size > 0) {
    json["sliding_window"] = windows.size;
    json["max_window_layers"] = std::min(windows.first_layer, num_layers);
  } else {
    json["sliding_window"] = nullptr;
  }
}

}  // namespace finescale::families
