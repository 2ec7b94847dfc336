// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <tuple>

#include "worker/selection/selector.h"

namespace finescale {

namespace {

class DistinctSelector final : public Selector {
 public:
  [[nodiscard]] std::vector<RawExample> select(std::vector<RawExample> examples,
                                               const SelectionContext&) const override {
    std::set<std::tuple<std::string, std::string, std::string>> seen;
    std::erase_if(examples, [&](const RawExample& example) {
      const std::string response =
          example.form == ExampleForm::kMessages ? example.messages.dump() : example.response;
      return !seen.emplace(example.prompt, response, example.rejected).second;
    });
    return examples;
  }
};

}  // namespace

std::unique_ptr<Selector> make_distinct() {
  return std::make_unique<DistinctSelector>();
}

}  // namespace finescale
