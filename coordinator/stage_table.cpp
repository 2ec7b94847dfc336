// SPDX-License-Identifier: Apache-2.0
#include "coordinator/stage_table.h"

#include <algorithm>
#include <utility>

namespace finescale {

StageEntry* StageEntries::add(StageEntry stage) {
  if (by_key_.contains(stage.stored.key)) {
    return nullptr;
  }
  StageEntry& entry = entries_.emplace_back(std::move(stage));
  by_key_.emplace(entry.stored.key, &entry);
  return &entry;
}

StageEntry* StageTable::add(StageEntry stage) {
  StageEntry* entry = stages_.add(std::move(stage));
  if (entry == nullptr) {
    return nullptr;
  }
  entry->missing = 0;
  for (const std::string& input : std::exchange(entry->inputs, {})) {
    StageEntry* source = find(input);
    if (source != nullptr) {
      entry->sources.push_back(source);
      source->readers.push_back(entry);
    }
    const bool is_done = source != nullptr && source->stored.state == StageState::kDone;
    entry->missing += is_done ? 0 : 1;
    if (source == nullptr) {
      absent_[input].push_back(entry);
    }
  }
  enter(*entry);
  if (const auto readers = absent_.extract(entry->stored.key); !readers.empty()) {
    link(*entry, readers.mapped());
  }
  return entry;
}

// An input comes behind its readers.
void StageTable::link(StageEntry& source, const std::vector<StageEntry*>& readers) {
  for (StageEntry* reader : readers) {
    reader->sources.push_back(&source);
    source.readers.push_back(reader);
    if (source.stored.state == StageState::kDone) {
      leave(*reader);
      --reader->missing;
      enter(*reader);
    }
  }
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
  const StageState from = stage.stored.state;
  leave(stage);
  stage.stored.state = state;
  enter(stage);
  if ((from == StageState::kDone) != (state == StageState::kDone)) {
    for (StageEntry* reader : stage.readers) {
      leave(*reader);
      reader->missing += from == StageState::kDone ? 1 : -1;
      enter(*reader);
    }
  }
  if (watcher_) {
    watcher_(stage, from);
  }
}

void StageTable::set_pending(StageEntry& stage, double not_before) {
  stage.not_before = not_before;  // a running stage stands in no order of it
  set_state(stage, StageState::kPending);
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
  const StageEntry* source = local.empty() ? nullptr : find(local);
  for (StageEntry* reader : source == nullptr ? std::vector<StageEntry*>() : source->readers) {
    const bool is_ready = ready_.contains({reader->position, reader});
    if (is_ready && (best == nullptr || reader->position < best->position)) {
      best = reader;
    }
  }
  return best != nullptr || ready_.empty() ? best : ready_.begin()->second;
}

}  // namespace finescale
