// SPDX-License-Identifier: Apache-2.0
// Text to ids and back, from the tokenizer.json of the tokenizers library (docs/tokenizers.md lists
// what of it is supported). One thread at a time: encoding remembers pieces.
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
  // A tokenizer.json, or the keys of a .gguf. Throws kData naming the JSON path of what is wrong or
  // not supported.
  static Tokenizer load(const std::string& path);
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

  [[nodiscard]] const std::string& to_json() const;  // the file as it was read or made

  // Added tokens in the text are cut out first. Bytes that are not UTF-8 survive in byte-level
  // tokenizers and become U+FFFD in others. No BOS: add_special() puts it there.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const;
  // As data: never turns text that looks like a special token into one.
  [[nodiscard]] std::vector<std::int32_t> encode_ordinary(std::string_view text) const;
  // What the post-processor puts around the ids of one text, or of two.
  [[nodiscard]] std::vector<std::int32_t> add_special(std::vector<std::int32_t> ids) const;
  [[nodiscard]] std::vector<std::int32_t> add_special(std::vector<std::int32_t> first,
                                                      std::vector<std::int32_t> second) const;
  // Of these, what stands in front of a text: BOS, where the model wants one.
  [[nodiscard]] std::vector<std::int32_t> start_tokens() const;

  // Ids that are not in the vocabulary are passed over. Bytes come out as they are, which need not
  // be UTF-8.
  [[nodiscard]] std::string decode(const std::vector<std::int32_t>& ids,
                                   bool skip_special = true) const;

  [[nodiscard]] std::optional<std::int32_t> token_id(std::string_view token) const;
  [[nodiscard]] std::optional<std::string> token(std::int32_t id) const;  // as the file writes it
  [[nodiscard]] bool is_special(std::int32_t id) const;
  [[nodiscard]] int vocab_size() const noexcept;  // one more than the highest id

 private:
  friend class TextStream;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Decodes ids as they are generated. What push() and finish() return is together exactly what
// decode() gives; characters come whole, so the last bytes of an unfinished one wait.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer, bool skip_special = true);  // must outlive it
  TextStream(TextStream&&) noexcept;
  TextStream& operator=(TextStream&&) noexcept;
  TextStream(const TextStream&) = delete;
  TextStream& operator=(const TextStream&) = delete;
  ~TextStream();

  [[nodiscard]] std::string push(std::int32_t id);
  [[nodiscard]] std::string finish();  // the rest; the stream is over then

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace finescale
