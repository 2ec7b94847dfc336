// SPDX-License-Identifier: Apache-2.0
#include "configs/trunks.h"

#include "configs/canonical.h"

namespace finescale {

std::string why_no_trunk(const config::Train& train) {
  if (train.has_steps() || train.has_tokens()) {
    return "bounded by steps or tokens, not by its budget";
  }
  if (train.epochs() > 1) {
    return "later epochs read the examples of one budget only; epochs: 1 would share";
  }
  if (train.average().has_tail()) {
    return "the mean over the last updates depends on the length of the run; average: ema would "
           "share";
  }
  switch (train.schedule().kind_case()) {
    case config::Schedule::kConstant:
    case config::Schedule::kWsd:
      return "";
    case config::Schedule::kLinear:
    case config::Schedule::kCosine:
    case config::Schedule::KIND_NOT_SET:
      break;
  }
  return "the rate depends on the length of the run from the first step on; schedule: wsd would "
         "share";
}

config::StageSpec trunk_of(const config::StageSpec& spec) {
  config::StageSpec trunk = spec;
  config::TrainSpec& train = *trunk.mutable_train();
  train.set_trunk(true);
  train.clear_start();
  if (train.train().schedule().has_wsd()) {  // what the decay ends at is no matter of the trunk
    train.mutable_train()->mutable_schedule()->mutable_wsd()->clear_final_ratio();
  }
  trunk.set_label("trunk");
  trunk.set_key(stage_key(trunk));
  return trunk;
}

}  // namespace finescale
