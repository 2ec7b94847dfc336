// SPDX-License-Identifier: Apache-2.0
#include "configs/families/family.h"
#include "configs/families/fields.h"

namespace finescale {

namespace {

class Llama final : public Family {
 public:
  FamilyFiles files() const override {
    FamilyFiles files;
    files.model_type = "llama";
    files.architecture = "LlamaForCausalLM";
    files.ignored_suffixes = {".rotary_emb.inv_freq"};
    files.gguf_interleaved = true;
    return files;
  }

  DecoderShape shape(const config::ModelConfig& config) const override {
    const config::Llama& m = config.llama();
    DecoderShape shape = families::llama_like_shape(m);
    shape.qkv_bias = shape.o_bias = m.attention_bias();
    shape.mlp_bias = m.mlp_bias();
    return shape;
  }

  void read(const JsonFields& fields, config::ModelConfig& config) const override {
    config::Llama& m = *config.mutable_llama();
    families::require_silu(fields);
    families::read_llama_like(fields, false, 2048, m);
    m.set_attention_bias(fields.flag("attention_bias", false));
    m.set_mlp_bias(fields.flag("mlp_bias", false));
  }

  void write(const config::ModelConfig& config, nlohmann::json& json) const override {
    families::write_llama_like(config.llama(), json);
    json["attention_bias"] = config.llama().attention_bias();
    json["mlp_bias"] = config.llama().mlp_bias();
  }
};

}  // namespace

const Family& llama_family() {
  static const Llama family;
  return family;
}

}  // namespace finescale
