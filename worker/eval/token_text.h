// SPDX-License-Identifier: Apache-2.0
// Text of tokens as they come. A character whose bytes are spread over tokens is held back until it
// is whole.
#pragma once

#include <cstdint>
#include <string>

#include "worker/data/tokenizer.h"

namespace finescale {

class TokenText {
 public:
  // The tokenizer must outlive it.
  explicit TokenText(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  [[nodiscard]] std::string feed(std::int32_t token);  // whole characters
  [[nodiscard]] std::string finish();                  // bytes that never became a character

 private:
  const Tokenizer* tokenizer_;
  std::string held_;
};

// Bytes at the end of `text` that begin a character and do not end it: 0 to 3.
[[nodiscard]] std::size_t incomplete_utf8(const std::string& text) noexcept;

}  // namespace finescale
