// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/update_rule.h"

namespace finescale {

std::unique_ptr<UpdateRule> make_update_rule(const config::Train& train) {
  switch (train.optimizer().kind_case()) {
    case config::UpdateRule::kSgd:
      return make_sgd(train);
    case config::UpdateRule::kLion:
      return make_lion(train);
    case config::UpdateRule::kMuon:
      return make_muon(train);
    case config::UpdateRule::kAdafactor:
      return make_adafactor(train);
    case config::UpdateRule::kAdamw:
    case config::UpdateRule::KIND_NOT_SET:  // its settings lie in the stage itself
      break;
  }
  return make_adamw(train);
}

}  // namespace finescale
