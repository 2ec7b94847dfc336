// SPDX-License-Identifier: Apache-2.0
#include "worker/selection/selector.h"

namespace finescale {

namespace {

class VerifiedSelector final : public Selector {
 public:
  explicit VerifiedSelector(bool wrong) : wrong_(wrong) {}

  [[nodiscard]] std::vector<RawExample> select(std::vector<RawExample> examples,
                                               const SelectionContext& context) const override {
    std::erase_if(examples,
                  [&](const RawExample& example) { return context.is_right(example) == wrong_; });
    return examples;
  }

 private:
  bool wrong_;
};

}  // namespace

std::unique_ptr<Selector> make_verified(const config::Verified& config) {
  return std::make_unique<VerifiedSelector>(config.wrong());
}

}  // namespace finescale
