// SPDX-License-Identifier: Apache-2.0
// Which examples of a dataset are kept, or what is made of them. Pure: the same on every rank.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "configs/schema/sample.pb.h"
#include "worker/data/raw_example.h"
#include "worker/data/tasks/task.h"

namespace finescale {

struct SelectionContext {
  const Task* verifier = nullptr;  // null: an answer is right when it equals what was expected
  std::uint64_t seed = 1;

  [[nodiscard]] bool is_right(const RawExample& example) const;
};

class Selector {
 public:
  Selector() = default;
  Selector(const Selector&) = delete;
  Selector& operator=(const Selector&) = delete;
  virtual ~Selector() = default;
  // In the order of the input. Throws kData when the examples lack what it needs.
  [[nodiscard]] virtual std::vector<RawExample> select(std::vector<RawExample> examples,
                                                       const SelectionContext& context) const = 0;
};

[[nodiscard]] std::unique_ptr<Selector> make_selector(const config::Select& config);

// Kinds; make_selector() is the only caller.
[[nodiscard]] std::unique_ptr<Selector> make_verified(const config::Verified& config);
[[nodiscard]] std::unique_ptr<Selector> make_random(const config::RandomSelector& config);
[[nodiscard]] std::unique_ptr<Selector> make_length(const config::Quantiles& config);
[[nodiscard]] std::unique_ptr<Selector> make_loss(const config::Quantiles& config);
[[nodiscard]] std::unique_ptr<Selector> make_grape(const config::Grape& config);
[[nodiscard]] std::unique_ptr<Selector> make_distinct();
[[nodiscard]] std::unique_ptr<Selector> make_pairs(const config::Pairs& config);

// For kinds: the examples at these places, ascending.
[[nodiscard]] std::vector<RawExample> take_at(std::vector<RawExample> examples,
                                              const std::vector<std::size_t>& places);
// The loss that a score stage measured. Throws kData where there is none.
[[nodiscard]] double loss_of(const RawExample& example);

}  // namespace finescale
