// SPDX-License-Identifier: Apache-2.0
#include "coordinator/gang_table.h"

namespace finescale {

GangEntry& GangTable::launch(bool is_queued, double now) {
  GangEntry gang;
  gang.id = ++last_;
  gang.is_queued = is_queued;
  gang.launched_at = now;
  gang.last_seen = now;
  return gangs_.emplace(gang.id, gang).first->second;
}

GangEntry& GangTable::adopt(std::int64_t id, bool is_queued, double now) {
  reserve(id);
  GangEntry gang;
  gang.id = id;
  gang.is_adopted = true;
  gang.is_queued = is_queued;
  gang.launched_at = now;
  gang.last_seen = now;
  return gangs_.emplace(id, gang).first->second;
}

void GangTable::forget_lost() {
  std::erase_if(gangs_, [](const auto& item) { return item.second.state == GangState::kLost; });
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

std::int64_t GangTable::num_alive() const {
  return std::count_if(gangs_.begin(), gangs_.end(),
                       [](const auto& item) { return item.second.state != GangState::kLost; });
}

bool GangTable::any_alive() const {  // asked for every call: the first one is the answer, mostly
  return std::any_of(gangs_.begin(), gangs_.end(),
                     [](const auto& item) { return item.second.state != GangState::kLost; });
}

std::int64_t GangTable::num_running() const {
  return std::count_if(gangs_.begin(), gangs_.end(),
                       [](const auto& item) { return item.second.state == GangState::kRunning; });
}

int GangTable::num_on_host(const std::string& host) const {
  return static_cast<int>(std::count_if(gangs_.begin(), gangs_.end(), [&](const auto& item) {
    return item.second.host == host && item.second.state != GangState::kLost &&
           item.second.state != GangState::kLaunching;
  }));
}

}  // namespace finescale
