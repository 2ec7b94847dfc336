// SPDX-License-Identifier: Apache-2.0
// What a plan must know of a .gguf file before anything starts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace finescale {

struct GgufSummary {
  std::int64_t positions = 0;      // longest sequence
  std::optional<std::string> end;  // token that ends a text
  bool has_chat_template = false;
};

// Throws kData naming the byte and the field where the file is damaged.
[[nodiscard]] GgufSummary read_gguf_summary(const std::string& path);

}  // namespace finescale
