// SPDX-License-Identifier: Apache-2.0
// Decoders that turn tokens into bytes.
#include <optional>

#include "worker/data/tokenizers/byte_level.h"
#include "worker/data/tokenizers/decoder.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

class ByteLevelDecoder final : public DecoderStep {
 public:
  [[nodiscard]] std::unique_ptr<DecoderStage> stage(DecoderStage& next, bool) const override {
    struct Bytes final : LinkedStage {
      using LinkedStage::LinkedStage;
      void push(std::string_view token) override {
        const std::optional<std::string> bytes = from_byte_characters(token);
        next().push(bytes ? *bytes : token);
      }
    };
    return std::make_unique<Bytes>(next);
  }
  [[nodiscard]] bool joins() const override { return true; }
};

// The byte of <0x0A>; -1: another token.
int fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with(">")) {
    return -1;
  }
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    const bool sign = c == '+' && token[3] == '+' && token[4] != '+';  // Rust's parser takes it
    if (digit < 0 && !sign) {
      return -1;
    }
    value = value * 16 + (sign ? 0 : digit);
  }
  return value;
}

// A run of <0x..> tokens is text when it is UTF-8 as a whole, else one U+FFFD for each.
class FallbackStage final : public LinkedStage {
 public:
  using LinkedStage::LinkedStage;
  void push(std::string_view token) override {
    const int byte = fallback_byte(token);
    if (byte >= 0) {
      held_ += static_cast<char>(byte);
      return;
    }
    flush();
    next().push(token);
  }
  void finish() override {
    flush();
    next().finish();
  }

 private:
  void flush() {
    if (!is_valid_utf8(held_)) {
      for (std::size_t i = 0; i < held_.size(); ++i) {
        next().push("\xEF\xBF\xBD");
      }
    } else if (!held_.empty()) {
      next().push(held_);
    }
    held_.clear();
  }

  std::string held_;
};

class ByteFallbackDecoder final : public DecoderStep {
 public:
  [[nodiscard]] std::unique_ptr<DecoderStage> stage(DecoderStage& next, bool) const override {
    return std::make_unique<FallbackStage>(next);
  }
};

}  // namespace

std::unique_ptr<DecoderStep> make_byte_level_decoder() {
  return std::make_unique<ByteLevelDecoder>();
}
std::unique_ptr<DecoderStep> make_byte_fallback_decoder() {
  return std::make_unique<ByteFallbackDecoder>();
}

}  // namespace finescale
