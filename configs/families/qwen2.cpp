// SPDX-License-Identifier: Apache-2.0
#include "configs/families/family.h"
#include "configs/families/fields.h"

namespace finescale {

namespace {

class Qwen2 final : public Family {
 public:
  FamilyFiles files() const override {
    FamilyFiles files;
    files.model_type = "qwen2";
    files.architecture = "Qwen2ForCausalLM";
    files.ignored_suffixes = {".rotary_emb.inv_freq"};
    return files;
  }

  DecoderShape shape(const config::ModelConfig& config) const override {
    const config::Qwen2& m = config.qwen2();
    DecoderShape shape = families::llama_like_shape(m);
    shape.qkv_bias = true;
    shape.sliding_window = m.sliding_window();
    shape.first_window_layer = m.first_window_layer();
    return shape;
  }

  void read(const JsonFields& fields, config::ModelConfig& config) const override {
    config::Qwen2& m = *config.mutable_qwen2();
    families::require_silu(fields);
    families::read_llama_like(fields, false, 32768, m);
    const families::Windows windows = families::read_layer_windows(fields, m.num_layers());
    m.set_sliding_window(windows.size);
    m.set_first_window_layer(windows.first_layer);
  }

  void write(const config::ModelConfig& config, nlohmann::json& json) const override {
    const config::Qwen2& m = config.qwen2();
    families::write_llama_like(m, json);
    json.erase("head_dim");  // always width / heads
    families::write_layer_windows({m.sliding_window(), m.first_window_layer()}, m.num_layers(),
                                  json);
  }
};

}  // namespace

const Family& qwen2_family() {
  static const Qwen2 family;
  return family;
}

}  // namespace finescale
