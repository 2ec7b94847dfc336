// SPDX-License-Identifier: Apache-2.0
#include "worker/export/gguf_model_file.h"

#include <algorithm>

#include "checkpoint/formats/gguf_writer.h"
#include "configs/decoder.h"
#include "core/error.h"
#include "worker/export/gguf_tensors.h"
#include "worker/import/gguf_families.h"

namespace finescale {

namespace {

// Codes of general.file_type.
std::int64_t file_type(GgufType type) {
  return type == GgufType::kF32 ? 0 : type == GgufType::kF16 ? 1 : 7;
}

void add_shape_keys(const DecoderShape& shape, const std::string& a, GgufKeys& keys) {
  // In a window nothing is cut off while texts are not longer: GGUF has no key for windows here.
  keys.add_count(a + ".context_length", shape.sliding_window > 0
                                            ? std::min(shape.max_positions, shape.sliding_window)
                                            : shape.max_positions);
  keys.add_count(a + ".embedding_length", shape.hidden_size);
  keys.add_count(a + ".block_count", shape.num_layers);
  keys.add_count(a + ".feed_forward_length", shape.intermediate_size);
  keys.add_count(a + ".attention.head_count", shape.num_heads);
  keys.add_count(a + ".attention.head_count_kv", shape.num_kv_heads);
  keys.add_count(a + ".vocab_size", shape.vocab_size);
  if (shape.head_dim * shape.num_heads != shape.hidden_size) {
    keys.add_count(a + ".attention.key_length", shape.head_dim);
    keys.add_count(a + ".attention.value_length", shape.head_dim);
  }
  keys.add_number(a + (shape.norm == DecoderShape::Norm::kRms ? ".attention.layer_norm_rms_epsilon"
                                                              : ".attention.layer_norm_epsilon"),
                  shape.norm_eps);
  if (shape.has_rotation()) {
    keys.add_count(a + ".rope.dimension_count", shape.rotary_dim);
    keys.add_number(a + ".rope.freq_base", shape.rope_theta);
  }
  if (shape.rope.kind == RopeScaling::Kind::kLinear) {
    keys.add_text(a + ".rope.scaling.type", "linear");
    keys.add_number(a + ".rope.scaling.factor", shape.rope.factor);
  }
  if (a == "gptneox") {
    keys.add_flag(a + ".use_parallel_residual", shape.parallel_residual);
  }
}

GgufKeys keys_of(const GgufExport& model, GgufType type) {
  const std::string architecture(gguf_architecture(family_name(model.config)));
  if (architecture.empty()) {
    throw Error(ErrorKind::kConfig,
                "models of family " + family_name(model.config) + " have no GGUF form", {},
                "export with --format hf");
  }
  const DecoderShape shape = decoder_shape(model.config);
  GgufKeys keys;
  keys.add_text("general.architecture", architecture);
  keys.add_text("general.type", "model");
  keys.add_text("general.name", model.name);
  keys.add_count("general.file_type", file_type(type));
  keys.add_count("general.quantization_version", 2);
  add_shape_keys(shape, architecture, keys);
  if (!model.tokenizer_json.empty()) {
    add_tokenizer_keys(model.tokenizer_json, model.tokenizer_where, shape.vocab_size, model.special,
                       keys);
  }
  if (!model.chat_template.empty()) {
    keys.add_text("tokenizer.chat_template", model.chat_template);
  }
  return keys;
}

}  // namespace

void write_gguf_model(const std::string& path, const GgufExport& model, GgufType type,
                      WeightSource& weights) {
  write_gguf(path, keys_of(model, type), gguf_tensors(model.config, type, weights));
}

}  // namespace finescale
