// SPDX-License-Identifier: Apache-2.0
#include "configs/families/family.h"
#include "configs/families/fields.h"

namespace finescale {

namespace {

class Mistral final : public Family {
 public:
  FamilyFiles files() const override {
    FamilyFiles files;
    files.model_type = "mistral";
    files.architecture = "MistralForCausalLM";
    files.ignored_suffixes = {".rotary_emb.inv_freq"};
    files.gguf_interleaved = true;  // GGUF calls it llama
    return files;
  }

  DecoderShape shape(const config::ModelConfig& config) const override {
    DecoderShape shape = families::llama_like_shape(config.mistral());
    shape.sliding_window = config.mistral().sliding_window();
    return shape;
  }

  void read(const JsonFields& fields, config::ModelConfig& config) const override {
    config::Mistral& m = *config.mutable_mistral();
    families::require_silu(fields);
    families::read_llama_like(fields, false, 131072, m);
    // Absent it is what the first release had; null says that there is none.
    constexpr int kFirstRelease = 4096;
    if (!fields.contains("sliding_window")) {
      m.set_sliding_window(kFirstRelease);
    } else if (fields.has("sliding_window")) {
      m.set_sliding_window(fields.whole("sliding_window"));
    }
  }

  void write(const config::ModelConfig& config, nlohmann::json& json) const override {
    families::write_llama_like(config.mistral(), json);
    if (config.mistral().sliding_window() > 0) {
      json["sliding_window"] = config.mistral().sliding_window();
    } else {
      json["sliding_window"] = nullptr;
    }
  }
};

}  // namespace

const Family& mistral_family() {
  static const Mistral family;
  return family;
}

}  // namespace finescale
