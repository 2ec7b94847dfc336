// SPDX-License-Identifier: Apache-2.0
// What several families' messages and config.json have in common. Templates over the messages: the
// same field has the same name in each.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "configs/decoder.h"
#include "configs/families/json_fields.h"

namespace finescale::families {

[[nodiscard]] RopeScaling rope_of(const config::RopeScaling& scaling);
// rope_parameters, or rope_theta and rope_scaling of older files.
void read_rope_scaling(const JsonFields& fields, int max_positions, config::RopeScaling& out);
[[nodiscard]] double read_rope_theta(const JsonFields& fields, double otherwise);
// Part of a head that is rotated; under any of the names that were in use.
[[nodiscard]] double read_rotary_fraction(const JsonFields& fields, double otherwise);
void write_rope_scaling(const config::RopeScaling& scaling, nlohmann::json& json);

// Refuses another activation than these words.
void require_silu(const JsonFields& fields);
[[nodiscard]] config::Gelu read_gelu(const JsonFields& fields, const std::string& key,
                                     config::Gelu otherwise);
[[nodiscard]] DecoderShape::Activation activation_of(config::Gelu gelu);

// Window of the families with layer_types, use_sliding_window and max_window_layers.
struct Windows {
  int size = 0;
  int first_layer = 0;
};
[[nodiscard]] Windows read_layer_windows(const JsonFields& fields, int num_layers);
void write_layer_windows(const Windows& windows, int num_layers, nlohmann::json& json);

// Sizes and seeds that every family has.
template <class M>
void set_sizes(const M& m, DecoderShape& shape) {
  shape.vocab_size = m.vocab_size();
  shape.hidden_size = m.hidden_size();
  shape.num_layers = m.num_layers();
  shape.num_heads = shape.num_kv_heads = m.num_heads();
  shape.intermediate_size = m.intermediate_size();
  shape.max_positions = m.max_positions();
  shape.tied = m.tie_embeddings();
  shape.initializer_range = m.initializer_range();
  shape.head_dim = m.hidden_size() % m.num_heads() == 0 ? m.hidden_size() / m.num_heads() : 0;
}

template <class M>
void set_kv_heads(const M& m, DecoderShape& shape) {
  if (m.num_kv_heads() != 0) {
    shape.num_kv_heads = m.num_kv_heads();
  }
}

template <class M>
void set_head_dim(const M& m, DecoderShape& shape) {
  if (m.head_dim() != 0) {
    shape.head_dim = m.head_dim();
  }
}

template <class M>
void set_rope(const M& m, double fraction, DecoderShape& shape) {
  shape.rope_theta = m.rope_theta();
  shape.rope = rope_of(m.rope_scaling());
  shape.rotary_dim = static_cast<int>(fraction * shape.head_dim);
}

template <class M>
void read_sizes(const JsonFields& f, bool tied, M& m) {
  m.set_vocab_size(f.whole("vocab_size"));
  m.set_hidden_size(f.whole("hidden_size"));
  m.set_num_layers(f.whole("num_hidden_layers"));
  m.set_num_heads(f.whole("num_attention_heads"));
  m.set_intermediate_size(f.whole("intermediate_size"));
  m.set_tie_embeddings(f.flag("tie_word_embeddings", tied));
  m.set_initializer_range(f.positive("initializer_range", 0.02));
}

template <class M>
void read_kv_heads(const JsonFields& f, M& m) {
  m.set_num_kv_heads(f.whole("num_key_value_heads", m.num_heads()));
}

template <class M>
void read_rope(const JsonFields& f, int max_positions, M& m) {
  m.set_max_positions(f.whole("max_position_embeddings", max_positions));
  m.set_rope_theta(read_rope_theta(f, 10000));
  config::RopeScaling scaling;
  read_rope_scaling(f, m.max_positions(), scaling);
  if (scaling.kind_case() != config::RopeScaling::KIND_NOT_SET) {
    *m.mutable_rope_scaling() = scaling;
  }
}

template <class M>
void write_sizes(const M& m, const DecoderShape& shape, nlohmann::json& json) {
  json["vocab_size"] = shape.vocab_size;
  json["hidden_size"] = shape.hidden_size;
  json["num_hidden_layers"] = shape.num_layers;
  json["num_attention_heads"] = shape.num_heads;
  json["intermediate_size"] = shape.intermediate_size;
  json["max_position_embeddings"] = shape.max_positions;
  json["tie_word_embeddings"] = shape.tied;
  json["initializer_range"] = m.initializer_range();
}

template <class M>
void write_rope(const M& m, nlohmann::json& json) {
  json["rope_theta"] = m.rope_theta();
  write_rope_scaling(m.rope_scaling(), json);
}

// What llama and its near relations share: RMSNorm, rotary positions over whole heads, SwiGLU.
template <class M>
DecoderShape llama_like_shape(const M& m) {
  DecoderShape shape;
  set_sizes(m, shape);
  set_kv_heads(m, shape);
  if constexpr (requires { m.head_dim(); }) {
    set_head_dim(m, shape);
  }
  set_rope(m, 1, shape);
  shape.norm_eps = m.rms_norm_eps();
  return shape;
}

// Written only where it is not width / heads, so that equal models have equal keys.
template <class M>
void give_head_dim(int head_dim, M& m) {
  if (m.hidden_size() % m.num_heads() != 0 || head_dim != m.hidden_size() / m.num_heads()) {
    m.set_head_dim(head_dim);
  }
}

template <class M>
void read_llama_like(const JsonFields& f, bool tied, int max_positions, M& m) {
  read_sizes(f, tied, m);
  read_kv_heads(f, m);
  if constexpr (requires { m.set_head_dim(1); }) {
    if (f.has("head_dim")) {
      give_head_dim(f.whole("head_dim"), m);
    }
  }
  read_rope(f, max_positions, m);
  m.set_rms_norm_eps(f.positive("rms_norm_eps", 1e-6));
  if (read_rotary_fraction(f, 1) != 1) {
    f.refuse("partial_rotary_factor");
  }
}

template <class M>
void write_llama_like(const M& m, nlohmann::json& json) {
  const DecoderShape shape = llama_like_shape(m);
  write_sizes(m, shape, json);
  json["num_key_value_heads"] = shape.num_kv_heads;
  json["head_dim"] = shape.head_dim;
  json["rms_norm_eps"] = m.rms_norm_eps();
  json["hidden_act"] = "silu";
  write_rope(m, json);
}

}  // namespace finescale::families
