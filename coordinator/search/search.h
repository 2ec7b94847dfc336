// SPDX-License-Identifier: Apache-2.0
// Which points of the axes are run. A kind is a pure function of what was decided before and of
// what came out; the campaign journals each decision before it acts on it, and replays the journal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "configs/schema/sweep.pb.h"

namespace finescale {

// The axes by place: a point is a number in their mixed radix, the last axis fastest.
struct SearchSpace {
  std::vector<std::size_t> sizes;  // values of each axis
  std::vector<bool> is_ordered;    // of each axis: its values are numbers
  int open_limit = 1;              // trials that an asynchronous kind keeps open
  std::size_t rung_axis = 0;       // kinds with rungs: the axis of budgets,
  std::vector<std::size_t> rungs;  // places of its values, ascending,
  std::vector<std::size_t> per;    // and the axes within whose values points compete

  [[nodiscard]] std::uint64_t num_points() const;
  [[nodiscard]] std::vector<std::size_t> values(std::uint64_t point) const;
  [[nodiscard]] std::uint64_t point(const std::vector<std::size_t>& values) const;
};

enum class Outcome { kOpen, kMeasured, kLost };
struct Observation {
  std::uint64_t point = 0;
  Outcome outcome = Outcome::kOpen;
  double cost = 0;  // of kMeasured: lower is better
};

class Search {
 public:
  virtual ~Search() = default;
  // Whether decisions follow from results. If not, the first answer is the whole search.
  [[nodiscard]] virtual bool is_adaptive() const = 0;
  // Points to run next, different from all decided; empty while none follows yet and when the
  // search is over. `decided`: in the order of the decisions.
  [[nodiscard]] virtual std::vector<std::uint64_t> next(
      std::span<const Observation> decided) const = 0;
};

// The fields that successive halving and asha share; null for other kinds.
[[nodiscard]] const config::Rungs* rungs_of(const config::Search& search);
// What decides: <set>.<metric>; "" for a kind that does not look at results.
[[nodiscard]] std::string search_metric(const config::Search& search);

[[nodiscard]] std::unique_ptr<Search> make_search(const config::Search& search,
                                                  const SearchSpace& space);

}  // namespace finescale
