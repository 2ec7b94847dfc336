// SPDX-License-Identifier: Apache-2.0
// Of the responses to a prompt the one that the model finds likeliest by token: the data that fit
// it (GRAPE).
#include <algorithm>
#include <unordered_map>

#include "worker/selection/selector.h"

namespace finescale {

namespace {

class GrapeSelector final : public Selector {
 public:
  [[nodiscard]] std::vector<RawExample> select(std::vector<RawExample> examples,
                                               const SelectionContext&) const override {
    std::unordered_map<std::string, std::size_t> best;  // by prompt; of equal losses the first
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const auto [held, is_new] = best.emplace(examples[i].prompt, i);
      if (!is_new && loss_of(examples[i]) < loss_of(examples[held->second])) {
        held->second = i;
      }
    }
    std::vector<std::size_t> places;
    places.reserve(best.size());
    for (const auto& [prompt, place] : best) {
      places.push_back(place);
    }
    std::sort(places.begin(), places.end());
    return take_at(std::move(examples), places);
  }
};

}  // namespace

std::unique_ptr<Selector> make_grape() {
  return std::make_unique<GrapeSelector>();
}

}  // namespace finescale
