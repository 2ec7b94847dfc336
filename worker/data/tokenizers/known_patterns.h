// SPDX-License-Identifier: Apache-2.0
// The pre-tokenizer expressions that most published models use, as hand-written scanners: the same
// pieces as the expression gives (a test compares them), several times faster.
#pragma once

#include <optional>
#include <string_view>

#include "worker/data/tokenizers/pieces.h"

namespace finescale {

inline constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

enum class KnownPattern {
  kGpt2,
  kLlama3,  // as GPT-4's cl100k: up to three digits together
  kQwen2,   // digits alone
};

[[nodiscard]] std::optional<KnownPattern> known_pattern(std::string_view regex);

// Appends the matches; they cover all of the text but bytes that are not UTF-8, which become pieces
// of their own (runs of them stay together).
void split_known(KnownPattern pattern, std::string_view text, bool at_start, PieceList& pieces);

}  // namespace finescale
