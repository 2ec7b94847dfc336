// SPDX-License-Identifier: Apache-2.0
#include "coordinator/stage_table.h"

#include <algorithm>

namespace finescale {

StageEntry* StageTable::add(StageEntry stage) {
  std::string key = stage.stored.key;
  const auto [place, is_new] = stages_.try_emplace(std::move(key), std::move(stage));
  if (!is_new) {
    return nullptr;
  }
  StageEntry& entry = place->second;
  entry.missing = 0;
  for (const std::string& input : entry.inputs) {
    readers_[input].push_back(&entry);
    const StageEntry* source = find(input);
    const bool is_done = source != nullptr && source->stored.state == StageState::kDone;
    entry.missing += is_done ? 0 : 1;
  }
  enter(entry);
  return &entry;
}

StageEntry* StageTable::find(const std::string& key) {
  const auto found = stages_.find(key);
  return found == stages_.end() ? nullptr : &found->second;
}

void StageTable::enter(StageEntry& stage) {
  ++counts_[static_cast<std::size_t>(stage.stored.state)];
  if (stage.stored.state == StageState::kRunning) {
    running_.emplace(stage.position, &stage);
  } else if (stage.stored.state == StageState::kPending && stage.missing == 0) {
    delayed_.emplace(stage.not_before, &stage);
  }
}

void StageTable::leave(StageEntry& stage) {
  --counts_[static_cast<std::size_t>(stage.stored.state)];
  if (stage.stored.state == StageState::kRunning) {
    running_.erase(stage.position);
  } else if (stage.stored.state == StageState::kPending && stage.missing == 0) {
    delayed_.erase({stage.not_before, &stage});
    ready_.erase({stage.position, &stage});
  }
}

void StageTable::set_state(StageEntry& stage, StageState state) {
  const bool was_done = stage.stored.state == StageState::kDone;
  leave(stage);
  stage.stored.state = state;
  enter(stage);
  if (was_done == (state == StageState::kDone)) {
    return;
  }
  for (StageEntry* reader : readers(stage.stored.key)) {
    leave(*reader);
    reader->missing += was_done ? 1 : -1;
    enter(*reader);
  }
}

void StageTable::set_pending(StageEntry& stage, double not_before) {
  leave(stage);
  stage.not_before = not_before;
  stage.stored.state = StageState::kPending;
  enter(stage);
}

const std::vector<StageEntry*>& StageTable::readers(const std::string& key) const {
  static const std::vector<StageEntry*> kNone;
  const auto found = readers_.find(key);
  return found == readers_.end() ? kNone : found->second;
}

void StageTable::wake_delayed(double now) {
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    StageEntry* stage = delayed_.begin()->second;
    delayed_.erase(delayed_.begin());
    ready_.emplace(stage->position, stage);
  }
}

StageEntry* StageTable::best_ready(const std::string& local, double now) {
  wake_delayed(now);
  StageEntry* best = nullptr;
  for (StageEntry* reader : readers(local)) {
    const bool is_ready = ready_.contains({reader->position, reader});
    if (is_ready && (best == nullptr || reader->position < best->position)) {
      best = reader;
    }
  }
  return best != nullptr || ready_.empty() ? best : ready_.begin()->second;
}

}  // namespace finescale
