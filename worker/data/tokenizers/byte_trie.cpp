// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/byte_trie.h"

#include <algorithm>
#include <deque>

namespace finescale {

ByteTrie::ByteTrie(std::vector<std::pair<std::string, std::int32_t>> texts) {
  std::stable_sort(texts.begin(), texts.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  // Breadth first, so that the edges of a node lie together and nodes are numbered in that order.
  struct Range {
    std::size_t begin, end, depth;  // texts that share the first `depth` bytes
  };
  std::deque<Range> open;
  std::size_t begin = 0;
  while (begin < texts.size() && texts[begin].first.empty()) {
    ++begin;
  }
  edges_.clear();
  values_.clear();
  open.push_back({begin, texts.size(), 0});
  std::uint32_t num_nodes = 1;
  while (!open.empty()) {
    const Range range = open.front();
    open.pop_front();
    const bool is_root = values_.empty();
    edges_.push_back(static_cast<std::uint32_t>(labels_.size()));
    values_.push_back(-1);
    std::size_t at = range.begin;
    for (; at < range.end && texts[at].first.size() == range.depth; ++at) {
      values_.back() = texts[at].second;
    }
    while (at < range.end) {
      const auto byte = static_cast<unsigned char>(texts[at].first[range.depth]);
      std::size_t end = at;
      while (end < range.end && static_cast<unsigned char>(texts[end].first[range.depth]) == byte) {
        ++end;
      }
      labels_.push_back(byte);
      targets_.push_back(num_nodes);
      if (is_root) {
        first_[byte] = num_nodes;
      }
      ++num_nodes;
      open.push_back({at, end, range.depth + 1});
      at = end;
    }
  }
  edges_.push_back(static_cast<std::uint32_t>(labels_.size()));
}

}  // namespace finescale
