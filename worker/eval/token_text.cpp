// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/token_text.h"

#include <algorithm>
#include <utility>

namespace finescale {

std::size_t incomplete_utf8(const std::string& text) noexcept {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0U) == 0x80U) {
      continue;  // inside a character
    }
    const std::size_t length = byte >= 0xF0U ? 4 : byte >= 0xE0U ? 3 : byte >= 0xC0U ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

std::string TokenText::feed(std::int32_t token) {
  held_ += tokenizer_->decode({token});
  const std::size_t rest = incomplete_utf8(held_);
  std::string out = held_.substr(0, held_.size() - rest);
  held_.erase(0, held_.size() - rest);
  return out;
}

std::string TokenText::finish() {
  return std::exchange(held_, {});
}

}  // namespace finescale
