// SPDX-License-Identifier: Apache-2.0
// The pieces that a text is cut into. Views into the text, or into texts that the list keeps.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace finescale {

struct Piece {
  std::string_view text;
  bool at_start = false;  // its first character stands where the input begins
};

class PieceList {
 public:
  void add(std::string_view text, bool at_start) {
    if (!text.empty()) {
      pieces_.push_back({text, at_start});
    }
  }
  [[nodiscard]] std::string_view keep(std::string text) {
    texts_.push_back(std::move(text));
    return texts_.back();
  }
  void clear() {
    pieces_.clear();
    texts_.clear();
  }
  [[nodiscard]] std::vector<Piece>& pieces() noexcept { return pieces_; }

 private:
  std::vector<Piece> pieces_;
  std::deque<std::string> texts_;  // a deque: views stay valid
};

}  // namespace finescale
