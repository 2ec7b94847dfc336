// SPDX-License-Identifier: Apache-2.0
// Ends an answer at a string, wherever its tokens' borders lie: text that may be the begin of a
// stop string is held back until it is decided.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace finescale {

class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> strings);  // empty ones are left out

  // Takes the next piece of text; returns what may be shown. The string that ends first ends the
  // answer, the longest of those; it is not part of what is returned, nor is what follows.
  [[nodiscard]] std::string feed(std::string_view piece);
  // The end of the answer for another reason: what was held back.
  [[nodiscard]] std::string finish();
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }

 private:
  [[nodiscard]] std::size_t undecided() const;

  std::vector<std::string> strings_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace finescale
