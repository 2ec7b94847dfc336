// SPDX-License-Identifier: Apache-2.0
#include "coordinator/search/kinds.h"
#include "core/error.h"

namespace finescale {

std::uint64_t SearchSpace::num_points() const {
  std::uint64_t count = 1;
  for (const std::size_t size : sizes) {
    count *= size;
  }
  return count;
}

std::vector<std::size_t> SearchSpace::values(std::uint64_t point) const {
  std::vector<std::size_t> values(sizes.size());
  for (std::size_t axis = sizes.size(); axis-- > 0;) {
    values[axis] = static_cast<std::size_t>(point % sizes[axis]);
    point /= sizes[axis];
  }
  return values;
}

std::uint64_t SearchSpace::point(const std::vector<std::size_t>& values) const {
  std::uint64_t point = 0;
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    point = point * sizes[axis] + values[axis];
  }
  return point;
}

const config::Rungs* rungs_of(const config::Search& search) {
  switch (search.kind_case()) {
    case config::Search::kHalving:
      return &search.halving();
    case config::Search::kAsha:
      return &search.asha();
    case config::Search::kGrid:
    case config::Search::kRandom:
    case config::Search::kTpe:
    case config::Search::KIND_NOT_SET:
      break;
  }
  return nullptr;
}

std::string search_metric(const config::Search& search) {
  if (const config::Rungs* rungs = rungs_of(search); rungs != nullptr) {
    return rungs->metric();
  }
  return search.has_tpe() ? search.tpe().metric() : std::string();
}

std::unique_ptr<Search> make_search(const config::Search& search, const SearchSpace& space) {
  switch (search.kind_case()) {
    case config::Search::kGrid:
      return make_grid_search(space);
    case config::Search::kRandom:
      return make_random_search(search.random(), space);
    case config::Search::kHalving:
      return make_halving(search.halving(), space);
    case config::Search::kAsha:
      return make_asha(search.asha(), space);
    case config::Search::kTpe:
      return make_tpe(search.tpe(), space);
    case config::Search::KIND_NOT_SET:
      break;
  }
  throw Error(ErrorKind::kInternal, "a sweep has no search: defaults were not resolved");
}

}  // namespace finescale
