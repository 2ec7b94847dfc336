// SPDX-License-Identifier: Apache-2.0
#include "configs/families/family.h"
#include "configs/families/fields.h"

namespace finescale {

namespace {

class Gpt2 final : public Family {
 public:
  FamilyFiles files() const override {
    FamilyFiles files;
    files.model_type = "gpt2";
    files.architecture = "GPT2LMHeadModel";
    files.root = "transformer.";
    files.layers = "h.";
    files.renamed = {{"embed_tokens", "wte"},
                     {"embed_positions", "wpe"},
                     {"norm", "ln_f"},
                     {"input_layernorm", "ln_1"},
                     {"post_attention_layernorm", "ln_2"},
                     {"self_attn.o_proj", "attn.c_proj"},
                     {"mlp.up_proj", "mlp.c_fc"},
                     {"mlp.down_proj", "mlp.c_proj"}};
    files.packing = QkvPacking::kStacked;
    files.packed_qkv = "attn.c_attn";
    files.layers_transposed = true;
    files.ignored_suffixes = {".attn.bias", ".attn.masked_bias"};
    return files;
  }

  DecoderShape shape(const config::ModelConfig& config) const override {
    const config::Gpt2& m = config.gpt2();
    DecoderShape shape;
    families::set_sizes(m, shape);
    if (m.intermediate_size() == 0) {
      shape.intermediate_size = 4 * m.hidden_size();
    }
    shape.norm = DecoderShape::Norm::kLayer;
    shape.norm_eps = m.layer_norm_eps();
    shape.activation = families::activation_of(m.activation());
    shape.gated = false;
    shape.qkv_bias = shape.o_bias = shape.mlp_bias = true;
    shape.learned_positions = true;
    return shape;
  }

  void read(const JsonFields& fields, config::ModelConfig& config) const override {
    config::Gpt2& m = *config.mutable_gpt2();
    fields.must_be_off("scale_attn_by_inverse_layer_idx");
    if (!fields.flag("scale_attn_weights", true)) {
      fields.refuse("scale_attn_weights");
    }
    m.set_vocab_size(fields.whole("vocab_size"));
    m.set_hidden_size(fields.whole("n_embd"));
    m.set_num_layers(fields.whole("n_layer"));
    m.set_num_heads(fields.whole("n_head"));
    m.set_max_positions(fields.whole("n_positions", fields.whole("n_ctx", 1024)));
    const int inner = fields.whole("n_inner", 4 * m.hidden_size());
    if (inner != 4 * m.hidden_size()) {
      m.set_intermediate_size(inner);
    }
    m.set_layer_norm_eps(fields.positive("layer_norm_epsilon", 1e-5));
    m.set_tie_embeddings(fields.flag("tie_word_embeddings", true));
    m.set_initializer_range(fields.positive("initializer_range", 0.02));
    m.set_activation(families::read_gelu(fields, "activation_function", config::GELU_TANH));
  }

  void write(const config::ModelConfig& config, nlohmann::json& json) const override {
    const config::Gpt2& m = config.gpt2();
    json["vocab_size"] = m.vocab_size();
    json["n_embd"] = m.hidden_size();
    json["n_layer"] = m.num_layers();
    json["n_head"] = m.num_heads();
    json["n_positions"] = json["n_ctx"] = m.max_positions();
    json["n_inner"] = shape(config).intermediate_size;
    json["layer_norm_epsilon"] = m.layer_norm_eps();
    json["tie_word_embeddings"] = m.tie_embeddings();
    json["initializer_range"] = m.initializer_range();
    json["activation_function"] = m.activation() == config::GELU_TANH ? "gelu_new" : "gelu";
  }
};

}  // namespace

const Family& gpt2_family() {
  static const Gpt2 family;
  return family;
}

}  // namespace finescale
