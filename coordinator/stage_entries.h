// SPDX-License-Identifier: Apache-2.0
// The stages that a campaign has, by key and in the order of addition. Entries stay where they are.
// One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "comm/proto/gang.pb.h"
#include "coordinator/store.h"

namespace finescale {

struct StageEntry {
  StoredStage stored;
  std::vector<std::string> inputs;   // keys, until it is added
  std::vector<StageEntry*> sources;  // then what they are
  std::vector<StageEntry*> readers;  // and who reads it, in the order of addition
  std::string trial;                 // first trial that uses it, for people
  double not_before = 0;             // back-off
  double leased_at = 0;
  double last_heartbeat = 0;
  proto::Progress progress;
  std::int64_t position = 0;  // in the plan: lower goes first
  double work = 0;            // examples, roughly: up to its end,
  double work_before = 0;     // and up to where it starts from
  bool trains = false;
  int missing = 0;  // inputs that are not done
};

class StageEntries {
 public:
  StageEntries() = default;
  StageEntries(const StageEntries&) = delete;
  StageEntries& operator=(const StageEntries&) = delete;
  StageEntries(StageEntries&&) = default;
  StageEntries& operator=(StageEntries&&) = default;
  ~StageEntries() = default;

  // Null when the key is known already.
  StageEntry* add(StageEntry stage);
  // Null: there is none.
  [[nodiscard]] StageEntry* find(const std::string& key) {
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : found->second;
  }
  [[nodiscard]] const StageEntry* find(const std::string& key) const {
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : found->second;
  }
  [[nodiscard]] const StageEntry& at(const std::string& key) const { return *by_key_.at(key); }
  [[nodiscard]] StageEntry& at(const std::string& key) { return *by_key_.at(key); }
  [[nodiscard]] bool contains(const std::string& key) const { return by_key_.contains(key); }
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] auto begin() const noexcept { return entries_.begin(); }
  [[nodiscard]] auto end() const noexcept { return entries_.end(); }

 private:
  std::deque<StageEntry> entries_;
  std::unordered_map<std::string_view, StageEntry*> by_key_;  // names are the entries' own
};

}  // namespace finescale
