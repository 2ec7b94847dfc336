// SPDX-License-Identifier: Apache-2.0
#include "configs/families/family.h"
#include "configs/families/fields.h"

namespace finescale {

namespace {

class Phi final : public Family {
 public:
  FamilyFiles files() const override {
    FamilyFiles files;
    files.model_type = "phi";
    files.architecture = "PhiForCausalLM";
    files.renamed = {{"norm", "final_layernorm"},
                     {"self_attn.o_proj", "self_attn.dense"},
                     {"mlp.up_proj", "mlp.fc1"},
                     {"mlp.down_proj", "mlp.fc2"}};
    files.ignored_suffixes = {".rotary_emb.inv_freq"};
    return files;
  }

  DecoderShape shape(const config::ModelConfig& config) const override {
    const config::Phi& m = config.phi();
    DecoderShape shape;
    families::set_sizes(m, shape);
    families::set_kv_heads(m, shape);
    families::set_rope(m, m.rotary_fraction(), shape);
    shape.norm = DecoderShape::Norm::kLayer;
    shape.norm_eps = m.layer_norm_eps();
    shape.activation = families::activation_of(m.activation());
    shape.gated = false;
    shape.qkv_bias = shape.o_bias = shape.mlp_bias = shape.head_bias = true;
    shape.parallel_residual = shape.shared_norm = true;
    return shape;
  }

  void read(const JsonFields& fields, config::ModelConfig& config) const override {
    config::Phi& m = *config.mutable_phi();
    fields.must_be_off("qk_layernorm");
    families::read_sizes(fields, false, m);
    families::read_kv_heads(fields, m);
    families::read_rope(fields, 2048, m);
    m.set_rotary_fraction(families::read_rotary_fraction(fields, 0.5));
    m.set_layer_norm_eps(fields.positive("layer_norm_eps", 1e-5));
    m.set_activation(families::read_gelu(fields, "hidden_act", config::GELU_TANH));
  }

  void write(const config::ModelConfig& config, nlohmann::json& json) const override {
    const config::Phi& m = config.phi();
    families::write_sizes(m, shape(config), json);
    json["num_key_value_heads"] = shape(config).num_kv_heads;
    families::write_rope(m, json);
    json["partial_rotary_factor"] = m.rotary_fraction();
    json["layer_norm_eps"] = m.layer_norm_eps();
    json["hidden_act"] = m.activation() == config::GELU_TANH ? "gelu_new" : "gelu";
    json["qk_layernorm"] = false;
  }
};

}  // namespace

const Family& phi_family() {
  static const Phi family;
  return family;
}

}  // namespace finescale
