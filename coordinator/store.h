// SPDX-License-Identifier: Apache-2.0
// The truth about a campaign: SQLite, one writer, exclusive lock, WAL, flushed at every commit. One
// transaction per durable transition; nothing is true before its transaction has returned.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace finescale {

enum class StageState { kPending, kRunning, kDone, kFailed, kStopped };
[[nodiscard]] const char* stage_state_name(StageState state) noexcept;

struct StoredStage {
  std::string key;
  std::string label;
  std::string spec;  // canonical text
  StageState state = StageState::kPending;
  std::int64_t epoch = 0;  // of the newest lease; raised by every lease, never reused
  std::int64_t gang = 0;   // holder while running
  int attempts = 0;        // leases that ended in a failure
  std::string error_kind;
  std::string error;
  std::string result;  // serialized StageResult once committed
};
struct StoredTrial {
  std::string id;
  std::string text;  // JSON: axes, tuned, group, stages, names, is_tuning, resolved
  bool stopped = false;
};
struct StoredDecision {  // of a search that decides by results
  std::uint64_t point = 0;
  std::string why;
};
struct StoredGang {
  std::int64_t id = 0;
  std::int64_t pid = 0;  // of its mpirun
  std::string host;
};

class Store {
 public:
  // Opens or creates DIR/store.sqlite. Throws kConfig when another coordinator has it.
  // Not durable: commits survive this process, not the machine.
  explicit Store(const std::string& directory, bool durable = true);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Whether another process has the store now. False when there is none.
  [[nodiscard]] static bool is_held(const std::string& directory);

  // Everything between begin and commit is one transaction. commit() flushes.
  void begin();
  void commit();

  [[nodiscard]] std::optional<std::string> meta(const std::string& name);
  void set_meta(const std::string& name, const std::string& value);

  void put_stage(const StoredStage& stage);     // insert or replace
  void update_stage(const StoredStage& stage);  // all but key, label and spec of one that is there
  [[nodiscard]] std::string spec_of(const std::string& key);
  void put_trial(const StoredTrial& trial);
  void put_gang(const StoredGang& gang);
  void remove_gang(std::int64_t id);
  void put_tuned(const std::string& group, const std::string& path, const std::string& value);

  void add_decision(const StoredDecision& decision);  // behind those that there are

  [[nodiscard]] std::vector<StoredStage> stages();
  [[nodiscard]] std::map<std::string, StageState> states();  // by stage key
  [[nodiscard]] std::vector<StoredTrial> trials();           // in the order planned
  [[nodiscard]] std::vector<StoredGang> gangs();
  [[nodiscard]] std::vector<StoredDecision> decisions();  // in order
  [[nodiscard]] std::map<std::string, std::map<std::string, std::string>> tuned();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace finescale
