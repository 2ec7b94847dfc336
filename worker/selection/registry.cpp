// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"
#include "worker/selection/selector.h"

namespace finescale {

std::unique_ptr<Selector> make_selector(const config::Select& config) {
  switch (config.kind_case()) {
    case config::Select::kVerified:
      return make_verified(config.verified());
    case config::Select::kRandom:
      return make_random(config.random());
    case config::Select::kLength:
      return make_length(config.length());
    case config::Select::kLoss:
      return make_loss(config.loss());
    case config::Select::kGrape:
      return make_grape(config.grape());
    case config::Select::kDistinct:
      return make_distinct();
    case config::Select::kPairs:
      return make_pairs(config.pairs());
    case config::Select::KIND_NOT_SET:
      break;
  }
  throw Error(ErrorKind::kInternal, "a selection without a kind: rules were not checked");
}

bool SelectionContext::is_right(const RawExample& example) const {
  return verifier != nullptr
             ? verifier->verify(example.verified_prompt(), example.response) == Verdict::kRight
             : example.response == example.expected;
}

std::vector<RawExample> take_at(std::vector<RawExample> examples,
                                const std::vector<std::size_t>& places) {
  std::vector<RawExample> taken;
  taken.reserve(places.size());
  for (const std::size_t place : places) {
    taken.push_back(std::move(examples[place]));
  }
  return taken;
}

double loss_of(const RawExample& example) {
  if (!example.loss) {
    throw Error(ErrorKind::kData, "an example has no loss", "select",
                "let the stage read what a score stage leaves");
  }
  return *example.loss;
}

}  // namespace finescale
