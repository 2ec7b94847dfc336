// SPDX-License-Identifier: Apache-2.0
// Names of architectures in GGUF files, and the kinds of ModelConfig that they are.
#pragma once

#include <string>
#include <string_view>

namespace finescale {

struct GgufFamily {
  std::string_view architecture;  // general.architecture
  std::string kind;               // field of ModelConfig
};

// Null when finescale has no such family.
[[nodiscard]] const GgufFamily* find_gguf_family(std::string_view architecture);
// The architecture that models of a kind are written as; empty when there is none.
[[nodiscard]] std::string_view gguf_architecture(std::string_view kind);
[[nodiscard]] std::string gguf_family_names();

}  // namespace finescale
