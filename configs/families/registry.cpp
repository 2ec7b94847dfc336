// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "configs/families/family.h"

namespace finescale {

const Family& family_of(const config::ModelConfig& config) {
  switch (config.kind_case()) {
    case config::ModelConfig::KIND_NOT_SET:
    case config::ModelConfig::kLlama:
      return llama_family();
    case config::ModelConfig::kMistral:
      return mistral_family();
    case config::ModelConfig::kQwen2:
      return qwen2_family();
    case config::ModelConfig::kQwen3:
      return qwen3_family();
    case config::ModelConfig::kGemma:
      return gemma_family();
    case config::ModelConfig::kGpt2:
      return gpt2_family();
    case config::ModelConfig::kGptNeox:
      return gpt_neox_family();
    case config::ModelConfig::kPhi:
      return phi_family();
  }
  return llama_family();
}

namespace {

constexpr std::array kFamilies = {llama_family, mistral_family, qwen2_family,    qwen3_family,
                                  gemma_family, gpt2_family,    gpt_neox_family, phi_family};

}  // namespace

const Family* find_family(const std::string& model_type) {
  for (const auto family : kFamilies) {
    if (family().files().model_type == model_type) {
      return &family();
    }
  }
  return nullptr;
}

std::vector<std::string> family_model_types() {
  std::vector<std::string> types;
  for (const auto family : kFamilies) {
    types.push_back(family().files().model_type);
  }
  return types;
}

}  // namespace finescale
