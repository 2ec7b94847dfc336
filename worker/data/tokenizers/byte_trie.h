// SPDX-License-Identifier: Apache-2.0
// Which of many texts begin at a place: a trie over bytes, built once.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace finescale {

class ByteTrie {
 public:
  ByteTrie() = default;
  // Empty texts are left out; of equal texts the last one's value counts.
  explicit ByteTrie(std::vector<std::pair<std::string, std::int32_t>> texts);

  [[nodiscard]] bool empty() const noexcept { return values_.size() <= 1; }
  [[nodiscard]] bool may_begin(char first) const noexcept {
    return first_[static_cast<unsigned char>(first)] != 0;
  }

  // Calls found(length, value) for every text that begins at `at`, shortest first.
  template <class Found>
  void prefixes(std::string_view text, std::size_t at, Found found) const {
    if (at >= text.size()) {
      return;
    }
    std::uint32_t node = first_[static_cast<unsigned char>(text[at])];
    for (std::size_t end = at + 1; node != 0; ++end) {
      if (values_[node] >= 0) {
        found(end - at, values_[node]);
      }
      if (end >= text.size()) {
        return;
      }
      node = child(node, static_cast<unsigned char>(text[end]));
    }
  }

 private:
  [[nodiscard]] std::uint32_t child(std::uint32_t node, unsigned char byte) const noexcept {
    const std::uint32_t begin = edges_[node];
    const std::uint32_t end = edges_[node + 1];
    for (std::uint32_t e = begin; e < end; ++e) {
      if (labels_[e] == byte) {
        return targets_[e];
      }
    }
    return 0;
  }

  std::array<std::uint32_t, 256> first_{};  // node of the first byte; 0: none
  std::vector<std::int32_t> values_{-1};    // of a node; -1: no text ends here. Node 0 is the root
  std::vector<std::uint32_t> edges_{0, 0};  // first edge of a node, one more at the end
  std::vector<unsigned char> labels_;
  std::vector<std::uint32_t> targets_;
};

}  // namespace finescale
