// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/pretokenizer.h"

#include <algorithm>

namespace finescale {

namespace {

class PreTokenizerSequence final : public PreTokenizer {
 public:
  PreTokenizerSequence(const JsonNode& node, bool leave_bytes) {
    const JsonNode list = node.at("pretokenizers");
    for (std::size_t i = 0; i < list.size(); ++i) {
      steps_.push_back(make_pretokenizer(list.at(i), leave_bytes && i + 1 == list.size()));
    }
  }

  void apply(const Piece& piece, PieceList& out) const override {
    std::vector<Piece> before;
    before.swap(out.pieces());  // of other segments of the input
    out.add(piece.text, piece.at_start);
    std::vector<Piece> current;
    for (const PreTokenizerPtr& step : steps_) {
      current.swap(out.pieces());
      out.pieces().clear();
      for (const Piece& each : current) {
        step->apply(each, out);
      }
    }
    before.insert(before.end(), out.pieces().begin(), out.pieces().end());
    before.swap(out.pieces());
  }

 private:
  std::vector<PreTokenizerPtr> steps_;
};

// The folds of the reference, empty matches included.
void fold(std::vector<Segment>& segments, SplitBehavior behavior) {
  std::size_t kept = 0;
  bool previous = false;
  for (const Segment& segment : std::vector<Segment>(segments)) {
    const bool joins = behavior == SplitBehavior::kContiguous ? segment.is_match == previous
                                                              : segment.is_match && !previous;
    if (joins && kept > 0) {
      Span& last = segments[kept - 1].span;
      last = {std::min(last.begin, segment.span.begin), std::max(last.end, segment.span.end)};
    } else {
      segments[kept++] = segment;
    }
    previous = segment.is_match;
  }
  segments.resize(kept);
}

}  // namespace

bool ends_in_byte_level(const JsonNode& node) {
  const std::string type = node.type();
  if (type != "Sequence") {
    return type == "ByteLevel";
  }
  const JsonNode list = node.at("pretokenizers");
  return list.size() > 0 && ends_in_byte_level(list.at(list.size() - 1));
}

PreTokenizerPtr make_pretokenizer(const JsonNode& node, bool leave_bytes) {
  const std::string type = node.type();
  if (type == "Sequence") {
    return std::make_unique<PreTokenizerSequence>(node, leave_bytes);
  }
  if (type == "ByteLevel") {
    return make_byte_level_pretokenizer(node, leave_bytes);
  }
  if (type == "Split") {
    return make_split_pretokenizer(node);
  }
  if (type == "Metaspace") {
    return make_metaspace_pretokenizer(node);
  }
  PreTokenizerPtr made = make_character_pretokenizer(node);
  if (made == nullptr) {
    node.unsupported("the pre-tokenizer " + type);
  }
  return made;
}

SplitBehavior split_behavior(const JsonNode& node) {
  const std::string& name = node.text();
  if (name == "Removed") {
    return SplitBehavior::kRemoved;
  }
  if (name == "Isolated") {
    return SplitBehavior::kIsolated;
  }
  if (name == "MergedWithPrevious") {
    return SplitBehavior::kMergedWithPrevious;
  }
  if (name == "MergedWithNext") {
    return SplitBehavior::kMergedWithNext;
  }
  if (name == "Contiguous") {
    return SplitBehavior::kContiguous;
  }
  node.unsupported("the behavior " + name);
}

void add_segments(const Piece& piece, SplitBehavior behavior, std::vector<Segment>& segments,
                  PieceList& out) {
  if (behavior == SplitBehavior::kMergedWithNext) {
    std::reverse(segments.begin(), segments.end());
    fold(segments, behavior);
    std::reverse(segments.begin(), segments.end());
  } else if (behavior == SplitBehavior::kMergedWithPrevious ||
             behavior == SplitBehavior::kContiguous) {
    fold(segments, behavior);
  }
  for (const Segment& segment : segments) {
    if (behavior != SplitBehavior::kRemoved || !segment.is_match) {
      out.add(piece.text.substr(segment.span.begin, segment.span.end - segment.span.begin),
              piece.at_start && segment.span.begin == 0);
    }
  }
}

}  // namespace finescale
