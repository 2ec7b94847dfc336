// SPDX-License-Identifier: Apache-2.0
#include "coordinator/stage_orders.h"

#include <algorithm>

namespace finescale {

Order StageOrders::make(GangEntry& gang, StageEntry& first, double now) {
  Order order{gangs_.stop_waiting(gang), first.stored.key, gang.id, 1, {}};
  const std::size_t most = most_stages(gang);
  std::optional<double> seconds = short_seconds(first);
  lease(first, gang, now);
  order.thread_shares = thread_shares(gang);
  double whole = seconds.value_or(0);
  while (seconds && whole < kShortSeconds && order.more.size() + 1 < most) {
    StageEntry* next = stages_.best_ready(gang.key, now);
    seconds = next == nullptr ? std::nullopt : short_seconds(*next);
    if (seconds) {
      whole += *seconds;
      lease(*next, gang, now);
      order.more.push_back(next->stored.key);
    }
  }
  return order;
}

void StageOrders::lease(StageEntry& stage, GangEntry& gang, double now) {
  stages_.set_state(stage, StageState::kRunning);
  ++stage.stored.epoch;
  stage.stored.gang = gang.id;
  stage.leased_at = now;
  stage.last_heartbeat = now;
  stage.progress.Clear();
  gangs_.set_state(gang, GangState::kRunning);
  gang.key = stage.stored.key;
}

// A stage that everything else waits for (pretraining, usually) gets the threads of all gangs of
// its host. Nothing else can start before it ends, unless somebody adds or retries a stage
// meanwhile.
int StageOrders::thread_shares(const GangEntry& gang) const {
  const bool is_alone = stages_.count(StageState::kRunning) == 1 && stages_.num_ready() == 0;
  return is_alone ? gangs_.num_on_host(gang.host) : 1;
}

// Half of what a gang may expect of the stages that are ready, so that none waits for another's.
std::size_t StageOrders::most_stages(const GangEntry& gang) const {
  const std::size_t fair =
      stages_.num_ready() /
      (2 * static_cast<std::size_t>(std::max<std::int64_t>(1, options_.gangs)));
  return std::min(fair, static_cast<std::size_t>(std::max(1, gang.most)));
}

// Nothing when the stage is not known to be short, or is better alone: it has failed before, and
// would cost those beside it an attempt.
std::optional<double> StageOrders::short_seconds(const StageEntry& stage) const {
  if (stage.stored.attempts > 0 || options_.max_attempts < 2) {
    return std::nullopt;
  }
  const std::optional<double> seconds = pace_.expected_seconds(stage);
  return seconds && *seconds < kShortSeconds ? seconds : std::nullopt;
}

}  // namespace finescale
