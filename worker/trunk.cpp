// SPDX-License-Identifier: Apache-2.0
#include "worker/trunk.h"

#include <algorithm>

#include "worker/optim/schedule.h"

namespace finescale {

std::int64_t trunk_end(const TrainLoader& loader, const config::Train& train) {
  return std::min(loader.num_common_steps(), first_decay(train, loader.num_steps()));
}

}  // namespace finescale
