// SPDX-License-Identifier: Apache-2.0
#include "configs/families/family.h"
#include "configs/families/fields.h"

namespace finescale {

namespace {

class Qwen3 final : public Family {
 public:
  FamilyFiles files() const override {
    FamilyFiles files;
    files.model_type = "qwen3";
    files.architecture = "Qwen3ForCausalLM";
    files.ignored_suffixes = {".rotary_emb.inv_freq"};
    return files;
  }

  DecoderShape shape(const config::ModelConfig& config) const override {
    const config::Qwen3& m = config.qwen3();
    DecoderShape shape = families::llama_like_shape(m);
    shape.qk_norm = true;
    shape.qkv_bias = shape.o_bias = m.attention_bias();
    shape.sliding_window = m.sliding_window();
    shape.first_window_layer = m.first_window_layer();
    return shape;
  }

  void read(const JsonFields& fields, config::ModelConfig& config) const override {
    config::Qwen3& m = *config.mutable_qwen3();
    families::require_silu(fields);
    families::read_llama_like(fields, false, 32768, m);
    if (!fields.has("head_dim")) {
      families::give_head_dim(128, m);  // not width / heads
    }
    m.set_attention_bias(fields.flag("attention_bias", false));
    const families::Windows windows = families::read_layer_windows(fields, m.num_layers());
    m.set_sliding_window(windows.size);
    m.set_first_window_layer(windows.first_layer);
  }

  void write(const config::ModelConfig& config, nlohmann::json& json) const override {
    const config::Qwen3& m = config.qwen3();
    families::write_llama_like(m, json);
    json["attention_bias"] = m.attention_bias();
    families::write_layer_windows({m.sliding_window(), m.first_window_layer()}, m.num_layers(),
                                  json);
  }
};

}  // namespace

const Family& qwen3_family() {
  static const Qwen3 family;
  return family;
}

}  // namespace finescale
