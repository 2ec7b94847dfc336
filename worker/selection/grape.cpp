// SPDX-License-Identifier: Apache-2.0
// Of the responses to a prompt the one that the model finds likeliest by token: the data that fit
// it (GRAPE); or another one, to compare with. Of equal ones the first.
#include <algorithm>
#include <unordered_map>

#include "core/random.h"
#include "worker/selection/selector.h"

namespace finescale {

namespace {

class GrapeSelector final : public Selector {
 public:
  explicit GrapeSelector(const config::Grape& config) : take_(config.take()) {}

  [[nodiscard]] std::vector<RawExample> select(std::vector<RawExample> examples,
                                               const SelectionContext& context) const override {
    struct Held {
      std::size_t place = 0;
      double cost = 0;
    };
    std::unordered_map<std::string, Held> best;  // by prompt
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const double cost = cost_of(examples[i], i, context);
      const auto [held, is_new] = best.try_emplace(examples[i].prompt, Held{i, cost});
      if (!is_new && cost < held->second.cost) {
        held->second = {i, cost};
      }
    }
    std::vector<std::size_t> places;
    places.reserve(best.size());
    for (const auto& [prompt, held] : best) {
      places.push_back(held.place);
    }
    std::sort(places.begin(), places.end());
    return take_at(std::move(examples), places);
  }

 private:
  [[nodiscard]] double cost_of(const RawExample& example, std::size_t place,
                               const SelectionContext& context) const {
    switch (take_) {
      case config::GRAPE_TAKE_BEST:
        return loss_of(example);
      case config::GRAPE_TAKE_WORST:
        return -loss_of(example);
      case config::GRAPE_TAKE_RANDOM:
        return Random(context.seed, Purpose::kSubset, place).uniform();
      case config::GRAPE_TAKE_SHORTEST:
        break;
    }
    return static_cast<double>(example.response.size());
  }

  config::GrapeTake take_;
};

}  // namespace

std::unique_ptr<Selector> make_grape(const config::Grape& config) {
  return std::make_unique<GrapeSelector>(config);
}

}  // namespace finescale
