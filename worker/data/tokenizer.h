// SPDX-License-Identifier: Apache-2.0
// Byte-level BPE tokenizer in the tokenizer.json layout of the tokenizers library. Invalid UTF-8
// survives a round trip.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace finescale {

class Tokenizer {
 public:
  static Tokenizer load(const std::string& path);  // tokenizer.json or .gguf; throws kData naming
                                                   // what is not supported
  static Tokenizer from_json(std::string_view text, const std::string& where);
  // Byte-level BPE with the GPT-2 pre-tokenizer regex; merges by count, ties by the lower pair of
  // ids, so the same text gives the same vocabulary on any machine. special tokens come first, then
  // the 256 bytes, then merges.
  static Tokenizer train(const std::vector<std::string>& texts, int vocab_size,
                         const std::vector<std::string>& special_tokens);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;
  ~Tokenizer();

  [[nodiscard]] std::string to_json() const;  // what load() reads, and the tokenizers library too
  [[nodiscard]] std::vector<std::int32_t> encode(
      std::string_view text) const;  // added tokens in the text are cut out first
  // As data: never turns text that looks like a special token into one.
  [[nodiscard]] std::vector<std::int32_t> encode_ordinary(std::string_view text) const;
  [[nodiscard]] std::string decode(const std::vector<std::int32_t>& ids,
                                   bool skip_special = true) const;
  [[nodiscard]] std::optional<std::int32_t> token_id(std::string_view token) const;
  [[nodiscard]] int vocab_size() const noexcept;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace finescale
