// SPDX-License-Identifier: Apache-2.0
// Plans of one sweep that were made before, for simulations that start thousands of coordinators: a
// plan is a pure function of the points and what tuning has decided. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/plan.h"

namespace finescale {

class PlanCache {
 public:
  [[nodiscard]] const SearchSpace& space(const config::Sweep& sweep);
  [[nodiscard]] const std::string& text(const config::Sweep& sweep);  // canonical
  // A planner with these points, of a sweep that is equal at every call. It stays until eight other
  // plans were asked for: who changes it copies it before.
  [[nodiscard]] const Planner& planner(const config::Sweep& sweep, const ContentHash& hash,
                                       const std::vector<std::uint64_t>& points,
                                       const TunedValues& tuned);

 private:
  struct Made {
    std::unique_ptr<config::Sweep> sweep;  // that it refers to
    std::unique_ptr<ContentHash> hash;
    std::vector<std::uint64_t> points;
    TunedValues tuned;
    std::unique_ptr<Planner> planner;
  };
  std::optional<SearchSpace> space_;
  std::string text_;
  std::vector<Made> made_;  // newest first
};

}  // namespace finescale
