// SPDX-License-Identifier: Apache-2.0
#include "worker/import/gguf_families.h"

#include <array>

namespace finescale {

namespace {

// By kind, the first architecture is the one that is read; mistral is written as llama, as all
// converters do.
const std::array<GgufFamily, 8>& families() {
  static const std::array<GgufFamily, 8> table = {{{"llama", "llama"},
                                                   {"llama", "mistral"},
                                                   {"qwen2", "qwen2"},
                                                   {"qwen3", "qwen3"},
                                                   {"gemma", "gemma"},
                                                   {"gpt2", "gpt2"},
                                                   {"gptneox", "gpt_neox"},
                                                   {"phi2", "phi"}}};
  return table;
}

}  // namespace

const GgufFamily* find_gguf_family(std::string_view architecture) {
  for (const GgufFamily& family : families()) {
    if (family.architecture == architecture) {
      return &family;
    }
  }
  return nullptr;
}

std::string_view gguf_architecture(std::string_view kind) {
  for (const GgufFamily& family : families()) {
    if (family.kind == kind) {
      return family.architecture;
    }
  }
  return {};
}

std::string gguf_family_names() {
  std::string names;
  std::string_view last;
  for (const GgufFamily& family : families()) {
    if (family.architecture != last) {
      names += (names.empty() ? "" : ", ") + std::string(family.architecture);
    }
    last = family.architecture;
  }
  return names;
}

}  // namespace finescale
