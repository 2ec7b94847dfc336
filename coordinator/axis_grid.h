// SPDX-License-Identifier: Apache-2.0
// The points of a sweep's axes by number: axes in file order, the last one fastest.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/search/search.h"

namespace finescale {

using Point = std::map<std::string, std::string>;  // axis path -> value

class AxisGrid {
 public:
  explicit AxisGrid(const config::Sweep& sweep);

  [[nodiscard]] Point point(std::uint64_t number) const;
  [[nodiscard]] const std::vector<std::pair<std::string, std::vector<std::string>>>& axes()
      const noexcept {
    return axes_;
  }
  // The same as a search sees it.
  [[nodiscard]] SearchSpace space(const config::Sweep& sweep) const;

 private:
  [[nodiscard]] std::size_t index_of(const std::string& path) const;

  std::vector<std::pair<std::string, std::vector<std::string>>> axes_;
};

}  // namespace finescale
