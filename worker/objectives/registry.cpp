// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "core/error.h"
#include "worker/objectives/objective.h"

namespace finescale {

std::unique_ptr<Objective> make_objective(const config::Objective& config) {
  switch (config.kind_case()) {
    case config::Objective::kDpo:
      return make_dpo(config.dpo());
    case config::Objective::kSimpo:
      return make_simpo(config.simpo());
    case config::Objective::kOrpo:
      return make_orpo(config.orpo());
    case config::Objective::kCpo:
      return make_cpo(config.cpo());
    case config::Objective::kKto:
      return make_kto(config.kto());
    case config::Objective::kDistill:
      return make_distill(config.distill());
    case config::Objective::kSft:
    case config::Objective::KIND_NOT_SET:
      break;
  }
  return make_sft(config.sft());
}

double log_sigmoid(double x) {
  return x < 0 ? x - std::log1p(std::exp(x)) : -std::log1p(std::exp(-x));
}

double sigmoid(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}

}  // namespace finescale
