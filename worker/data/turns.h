// SPDX-License-Identifier: Apache-2.0
// Parts taken in turn by their ratios: the next is the one that lags most behind, so every
// beginning has the ratios to one (the method of largest remainders).
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace finescale {

class Turns {
 public:
  explicit Turns(std::vector<double> ratios) : ratios_(std::move(ratios)), taken_(ratios_.size()) {
    for (const double ratio : ratios_) {
      sum_ += ratio;
    }
  }
  [[nodiscard]] std::size_t next() {
    ++total_;
    std::size_t best = 0;
    double most = -1;
    for (std::size_t i = 0; i < ratios_.size(); ++i) {
      const double lag =
          ratios_[i] / sum_ * static_cast<double>(total_) - static_cast<double>(taken_[i]);
      if (lag > most) {
        most = lag;
        best = i;
      }
    }
    ++taken_[best];
    return best;
  }

 private:
  std::vector<double> ratios_;
  std::vector<std::int64_t> taken_;
  std::int64_t total_ = 0;
  double sum_ = 0;
};

}  // namespace finescale
