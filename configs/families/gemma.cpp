// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "configs/families/family.h"
#include "configs/families/fields.h"

namespace finescale {

namespace {

class Gemma final : public Family {
 public:
  FamilyFiles files() const override {
    FamilyFiles files;
    files.model_type = "gemma";
    files.architecture = "GemmaForCausalLM";
    files.ignored_suffixes = {".rotary_emb.inv_freq"};
    return files;
  }

  DecoderShape shape(const config::ModelConfig& config) const override {
    const config::Gemma& m = config.gemma();
    DecoderShape shape = families::llama_like_shape(m);
    shape.qkv_bias = shape.o_bias = m.attention_bias();
    shape.activation = DecoderShape::Activation::kGeluTanh;
    shape.norm_offset = 1;
    shape.embedding_scale = std::sqrt(static_cast<double>(m.hidden_size()));
    return shape;
  }

  void read(const JsonFields& fields, config::ModelConfig& config) const override {
    config::Gemma& m = *config.mutable_gemma();
    fields.must_be_off("use_bidirectional_attention");
    // Early files say gelu in hidden_act and mean the tanh form; hidden_activation overrode it.
    const std::string key = fields.has("hidden_activation") ? "hidden_activation" : "hidden_act";
    if (families::read_gelu(fields, key, config::GELU_TANH) == config::GELU_ERF &&
        key == "hidden_activation") {
      fields.refuse(key, "supported: gelu_pytorch_tanh");
    }
    families::read_llama_like(fields, true, 8192, m);
    if (!fields.has("head_dim")) {
      families::give_head_dim(256, m);  // not width / heads
    }
    m.set_attention_bias(fields.flag("attention_bias", false));
  }

  void write(const config::ModelConfig& config, nlohmann::json& json) const override {
    families::write_llama_like(config.gemma(), json);
    json["hidden_act"] = "gelu_pytorch_tanh";
    json["hidden_activation"] = "gelu_pytorch_tanh";  // what older versions read
    json["attention_bias"] = config.gemma().attention_bias();
  }
};

}  // namespace

const Family& gemma_family() {
  static const Gemma family;
  return family;
}

}  // namespace finescale
