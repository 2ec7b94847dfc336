// SPDX-License-Identifier: Apache-2.0
// Cuts normalised text into pieces, which the model then turns into ids one by one. Pure, but for
// scratch memory: one thread at a time.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "worker/data/tokenizers/json_node.h"
#include "worker/data/tokenizers/pieces.h"
#include "worker/data/tokenizers/regex.h"

namespace finescale {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(const Piece& piece, PieceList& out) const = 0;
};

using PreTokenizerPtr = std::unique_ptr<PreTokenizer>;

// Whether the last step writes bytes as their printable stand-ins.
[[nodiscard]] bool ends_in_byte_level(const JsonNode& node);

// `leave_bytes`: that last step leaves them as they are, for a model that takes bytes.
[[nodiscard]] PreTokenizerPtr make_pretokenizer(const JsonNode& node, bool leave_bytes);

// What becomes of the separators that a pattern finds (the-final--countdown split at '-').
enum class SplitBehavior {
  kRemoved,             // the final countdown
  kIsolated,            // the - final - - countdown
  kMergedWithPrevious,  // the- final- - countdown
  kMergedWithNext,      // the -final - -countdown
  kContiguous,          // the - final -- countdown
};
[[nodiscard]] SplitBehavior split_behavior(const JsonNode& node);

struct Segment {
  Span span;
  bool is_match = false;
};
// The segments cover the piece in order. Folds them in place, then adds what is left.
void add_segments(const Piece& piece, SplitBehavior behavior, std::vector<Segment>& segments,
                  PieceList& out);

// Makers of the kinds; each reads its own fields.
[[nodiscard]] PreTokenizerPtr make_split_pretokenizer(const JsonNode& node);
[[nodiscard]] PreTokenizerPtr make_byte_level_pretokenizer(const JsonNode& node, bool leave_bytes);
[[nodiscard]] PreTokenizerPtr make_metaspace_pretokenizer(const JsonNode& node);
// Digits, Punctuation, Whitespace, WhitespaceSplit, BertPreTokenizer, CharDelimiterSplit and
// FixedLength: those that look at one character at a time. None: another type.
[[nodiscard]] PreTokenizerPtr make_character_pretokenizer(const JsonNode& node);

}  // namespace finescale
