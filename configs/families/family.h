// SPDX-License-Identifier: Apache-2.0
// A family of models: its knobs, its config.json and the names of its tensors. One .cpp per family;
// the registry finds it by the kind of ModelConfig or by model_type. Stateless.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "configs/decoder.h"
#include "configs/families/json_fields.h"

namespace finescale {

enum class QkvPacking {
  kSeparate,  // three tensors
  kStacked,   // one: q, then k, then v
  kPerHead    // one: q, k, v of the first head, of the second, ...
};

// How a family's files name what finescale names as llama does.
struct FamilyFiles {
  std::string model_type;    // of config.json
  std::string architecture;  // class name that transformers writes
  std::string root = "model.";
  std::string layers = "layers.";
  // Modules below the root or a layer that are called otherwise: ours, theirs. The head is not
  // below the root.
  std::vector<std::pair<std::string, std::string>> renamed;
  std::vector<std::string> also_head;  // other spellings of the head
  QkvPacking packing = QkvPacking::kSeparate;
  std::string packed_qkv;          // module of the packed projection
  bool layers_transposed = false;  // matrices of layers lie [in, out]
  std::vector<std::string> ignored_suffixes;
  bool gguf_interleaved = false;  // GGUF holds q and k for interleaved rotation
};

class Family {
 public:
  virtual ~Family() = default;
  [[nodiscard]] virtual FamilyFiles files() const = 0;
  [[nodiscard]] virtual DecoderShape shape(const config::ModelConfig& config) const = 0;
  virtual void read(const JsonFields& fields, config::ModelConfig& config) const = 0;
  virtual void write(const config::ModelConfig& config, nlohmann::json& json) const = 0;

 protected:
  Family() = default;
  Family(const Family&) = default;
  Family& operator=(const Family&) = default;
};

// The family of the kind that is set (llama when none is), or of a model_type; null: none.
[[nodiscard]] const Family& family_of(const config::ModelConfig& config);
[[nodiscard]] const Family* find_family(const std::string& model_type);
[[nodiscard]] std::vector<std::string> family_model_types();

[[nodiscard]] const Family& llama_family();
[[nodiscard]] const Family& mistral_family();
[[nodiscard]] const Family& qwen2_family();
[[nodiscard]] const Family& qwen3_family();
[[nodiscard]] const Family& gemma_family();
[[nodiscard]] const Family& gpt2_family();
[[nodiscard]] const Family& gpt_neox_family();
[[nodiscard]] const Family& phi_family();

}  // namespace finescale
