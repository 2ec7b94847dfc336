// SPDX-License-Identifier: Apache-2.0
// What is done to the text before it is cut: normalisers of tokenizer.json. Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "worker/data/tokenizers/json_node.h"

namespace finescale {

struct NormalText {
  std::string text;
  // Whether the first character stands where the input begins: nothing was cut off before it.
  // Metaspace's scheme "first" asks.
  bool at_start = true;
};

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // The text is UTF-8.
  virtual void apply(NormalText& text) const = 0;
  // Whether every byte has its own image, so that bytes that are not UTF-8 may pass through.
  [[nodiscard]] virtual bool takes_bytes() const { return false; }
};

using NormalizerPtr = std::unique_ptr<Normalizer>;

[[nodiscard]] NormalizerPtr make_normalizer(const JsonNode& node);

// Bytes that are not UTF-8 stay as they are, the text between them is normalised run by run.
void normalize_runs(const Normalizer& normalizer, NormalText& text);

// Throws kData where a text has grown beyond any honest rule (the longest image of a character in
// Unicode has 18): a file of a few bytes must not fill the memory.
void check_growth(std::size_t bytes_before, std::size_t bytes_after);

// Makers of the kinds; each reads its own fields.
[[nodiscard]] NormalizerPtr make_unicode_normalizer(const JsonNode& node);  // NFC, NFD, NFKC, NFKD
[[nodiscard]] NormalizerPtr make_bert_normalizer(const JsonNode& node);
[[nodiscard]] NormalizerPtr make_precompiled_normalizer(const JsonNode& node);
[[nodiscard]] NormalizerPtr make_lowercase_normalizer();
[[nodiscard]] NormalizerPtr make_strip_accents_normalizer();
[[nodiscard]] NormalizerPtr make_nmt_normalizer();
[[nodiscard]] NormalizerPtr make_strip_normalizer(const JsonNode& node);
[[nodiscard]] NormalizerPtr make_replace_normalizer(const JsonNode& node);
[[nodiscard]] NormalizerPtr make_prepend_normalizer(const JsonNode& node);
[[nodiscard]] NormalizerPtr make_byte_level_normalizer();

}  // namespace finescale
