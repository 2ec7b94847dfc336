// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/random.h"
#include "worker/selection/selector.h"

namespace finescale {

namespace {

// Nested: of one seed, a larger choice holds a smaller one.
class RandomPart final : public Selector {
 public:
  explicit RandomPart(std::int64_t count) : count_(static_cast<std::size_t>(count)) {}

  [[nodiscard]] std::vector<RawExample> select(std::vector<RawExample> examples,
                                               const SelectionContext& context) const override {
    if (count_ > examples.size()) {
      throw Error(ErrorKind::kData,
                  "select.random.examples is " + std::to_string(count_) +
                      ", but the data have only " + std::to_string(examples.size()) + " examples",
                  "select", "ask for fewer, or generate more");
    }
    const Permutation order(examples.size(), context.seed, Purpose::kSubset);
    std::vector<std::size_t> places;
    for (std::uint64_t i = 0; i < count_; ++i) {
      places.push_back(order[i]);
    }
    std::sort(places.begin(), places.end());
    return take_at(std::move(examples), places);
  }

 private:
  std::size_t count_;
};

}  // namespace

std::unique_ptr<Selector> make_random(const config::RandomSelector& config) {
  return std::make_unique<RandomPart>(config.examples());
}

}  // namespace finescale
