// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/stop_strings.h"

#include <algorithm>
#include <utility>

namespace finescale {

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  std::erase_if(strings_, [](const std::string& s) { return s.empty(); });
  std::sort(strings_.begin(), strings_.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
}

// Bytes at the end that begin a stop string.
std::size_t StopStrings::undecided() const {
  const std::string_view held = held_;
  std::size_t most = 0;
  for (const std::string& string : strings_) {
    for (std::size_t n = std::min(held.size(), string.size() - 1); n > most; --n) {
      if (held.substr(held.size() - n) == std::string_view(string).substr(0, n)) {
        most = n;
      }
    }
  }
  return most;
}

std::string StopStrings::feed(std::string_view piece) {
  if (stopped_) {
    return {};
  }
  if (strings_.empty()) {
    return std::string(piece);
  }
  std::string out;
  for (const char byte : piece) {  // byte by byte: the same end however the text is cut
    held_ += byte;
    for (const std::string& string : strings_) {
      if (held_.ends_with(string)) {
        stopped_ = true;
        out.append(held_, 0, held_.size() - string.size());
        held_.clear();
        return out;
      }
    }
    const std::size_t decided = held_.size() - undecided();
    out.append(held_, 0, decided);
    held_.erase(0, decided);
  }
  return out;
}

std::string StopStrings::finish() {
  return std::exchange(held_, {});
}

}  // namespace finescale
