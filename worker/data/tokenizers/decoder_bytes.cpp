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

// <0x0A> tokens: a run of them is text when it is UTF-8 as a whole, else one U+FFFD for each.
class ByteFallbackDecoder final : public DecoderStep {
 public:
  [[nodiscard]] std::unique_ptr<DecoderStage> stage(DecoderStage& next, bool) const override {
    struct Bytes final : LinkedStage {
      using LinkedStage::LinkedStage;
      void push(std::string_view token) override {
        const int byte = byte_of(token);
        if (byte >= 0) {
          held += static_cast<char>(byte);
          return;
        }
        flush();
        next().push(token);
      }
      void finish() override {
        flush();
        next().finish();
      }
      void flush() {
        if (is_valid_utf8(held)) {
          if (!held.empty()) {
            next().push(held);
          }
        } else {
          for (std::size_t i = 0; i < held.size(); ++i) {
            next().push("\xEF\xBF\xBD");
          }
        }
        held.clear();
      }
      static int byte_of(std::string_view token) {
        if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with(">")) {
          return -1;
        }
        int value = 0;
        for (const char c : token.substr(3, 2)) {
          const int digit = c >= '0' && c <= '9'   ? c - '0'
                            : c >= 'A' && c <= 'F' ? c - 'A' + 10
                            : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                   : -1;
          if (digit < 0) {
            // Rust's number parser lets a sign stand first.
            if (c == '+' && value == 0 && token[3] == '+' && token[4] != '+') {
              continue;
            }
            return -1;
          }
          value = value * 16 + digit;
        }
        return value;
      }
      std::string held;
    };
    return std::make_unique<Bytes>(next);
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
