// SPDX-License-Identifier: Apache-2.0
#include "configs/families/family.h"
#include "configs/families/fields.h"

namespace finescale {

namespace {

class GptNeox final : public Family {
 public:
  FamilyFiles files() const override {
    FamilyFiles files;
    files.model_type = "gpt_neox";
    files.architecture = "GPTNeoXForCausalLM";
    files.root = "gpt_neox.";
    files.renamed = {{"embed_tokens", "embed_in"},
                     {"norm", "final_layer_norm"},
                     {"lm_head", "embed_out"},
                     {"self_attn.o_proj", "attention.dense"},
                     {"mlp.up_proj", "mlp.dense_h_to_4h"},
                     {"mlp.down_proj", "mlp.dense_4h_to_h"}};
    files.also_head = {"lm_head"};
    files.packing = QkvPacking::kPerHead;
    files.packed_qkv = "attention.query_key_value";
    files.ignored_suffixes = {".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"};
    return files;
  }

  DecoderShape shape(const config::ModelConfig& config) const override {
    const config::GptNeox& m = config.gpt_neox();
    DecoderShape shape;
    families::set_sizes(m, shape);
    families::set_rope(m, m.rotary_fraction(), shape);
    shape.norm = DecoderShape::Norm::kLayer;
    shape.norm_eps = m.layer_norm_eps();
    shape.activation = families::activation_of(m.activation());
    shape.gated = false;
    shape.qkv_bias = shape.o_bias = m.attention_bias();
    shape.mlp_bias = true;
    shape.parallel_residual = m.parallel_residual();
    return shape;
  }

  void read(const JsonFields& fields, config::ModelConfig& config) const override {
    config::GptNeox& m = *config.mutable_gpt_neox();
    families::read_sizes(fields, false, m);
    families::read_rope(fields, 2048, m);
    m.set_rotary_fraction(families::read_rotary_fraction(fields, 0.25));
    m.set_layer_norm_eps(fields.positive("layer_norm_eps", 1e-5));
    m.set_activation(families::read_gelu(fields, "hidden_act", config::GELU_ERF));
    m.set_attention_bias(fields.flag("attention_bias", true));
    m.set_parallel_residual(fields.flag("use_parallel_residual", true));
  }

  void write(const config::ModelConfig& config, nlohmann::json& json) const override {
    const config::GptNeox& m = config.gpt_neox();
    families::write_sizes(m, shape(config), json);
    families::write_rope(m, json);
    json["rotary_emb_base"] = m.rope_theta();  // what older versions read
    json["rotary_pct"] = m.rotary_fraction();
    json["layer_norm_eps"] = m.layer_norm_eps();
    json["hidden_act"] = m.activation() == config::GELU_TANH ? "gelu_new" : "gelu";
    json["attention_bias"] = m.attention_bias();
    json["use_parallel_residual"] = m.parallel_residual();
  }
};

}  // namespace

const Family& gpt_neox_family() {
  static const GptNeox family;
  return family;
}

}  // namespace finescale
