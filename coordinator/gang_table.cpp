// SPDX-License-Identifier: Apache-2.0
#include "coordinator/gang_table.h"

#include <utility>

namespace finescale {

GangEntry& GangTable::launch(bool is_queued, double now) {
  GangEntry gang;
  gang.id = last_ + 1;
  gang.is_queued = is_queued;
  return add(std::move(gang), now);
}

GangEntry& GangTable::adopt(std::int64_t id, bool is_queued, double now) {
  GangEntry gang;
  gang.id = id;
  gang.is_adopted = true;
  gang.is_queued = is_queued;
  return add(std::move(gang), now);
}

GangEntry& GangTable::add(GangEntry gang, double now) {
  reserve(gang.id);
  gang.launched_at = now;
  gang.last_seen = now;
  const auto [place, is_new] = gangs_.emplace(gang.id, std::move(gang));
  counts_[static_cast<std::size_t>(place->second.state)] += is_new ? 1 : 0;
  return place->second;
}

void GangTable::set_state(GangEntry& gang, GangState state) {
  --counts_[static_cast<std::size_t>(gang.state)];
  ++counts_[static_cast<std::size_t>(state)];
  gang.state = state;
}

void GangTable::forget_lost() {
  if (count(GangState::kLost) == 0) {
    return;
  }
  std::erase_if(gangs_, [](const auto& item) { return item.second.state == GangState::kLost; });
  counts_[static_cast<std::size_t>(GangState::kLost)] = 0;
}

void GangTable::wait(GangEntry& gang, std::uint64_t request, double now) {
  gang.waiting = request;
  gang.waiting_since = now;
  waiting_.insert(gang.id);
}

std::uint64_t GangTable::stop_waiting(GangEntry& gang) {
  waiting_.erase(gang.id);
  return std::exchange(gang.waiting, 0);
}

GangEntry* GangTable::find(std::int64_t id) {
  const auto found = gangs_.find(id);
  return found == gangs_.end() || found->second.state == GangState::kLost ? nullptr
                                                                          : &found->second;
}

bool GangTable::is_late(GangEntry& gang, const proto::Caller& caller) {
  if (!caller.has_number()) {
    return false;
  }
  const bool late = caller.number() <= gang.last_number;
  gang.last_number = std::max(gang.last_number, caller.number());
  return late;
}

int GangTable::num_on_host(const std::string& host) const {
  return static_cast<int>(std::count_if(gangs_.begin(), gangs_.end(), [&](const auto& item) {
    return item.second.host == host && item.second.state != GangState::kLost &&
           item.second.state != GangState::kLaunching;
  }));
}

}  // namespace finescale
