// SPDX-License-Identifier: Apache-2.0
// The truth about a campaign: SQLite, one writer, exclusive lock, WAL, flushed at every commit.
// Nothing is true before its transaction has returned. What a stage is is written once: a form that
// it shares with others and what fills its blanks; a change of its state writes a row of some 80
// bytes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace finescale {

enum class StageState { kPending, kRunning, kDone, kFailed, kStopped };
[[nodiscard]] const char* stage_state_name(StageState state) noexcept;

struct StoredStage {
  std::string key;
  std::string label;
  std::int64_t row = 0;   // in the store; 0: not there yet
  std::int64_t form = 0;  // its text with blanks (put_form)
  std::string fillings;   // what fills them
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
  friend bool operator==(const StoredTrial&, const StoredTrial&) = default;
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

enum class Commits {
  kFlushed,  // are on disk when they return, and survive the machine
  kBehind,   // another thread makes them: settle() waits, and so does whatever is read. For
             // simulations.
};

class Store {
 public:
  // Opens or creates DIR/store.sqlite. Throws kResource when another coordinator has it, kConfig
  // when a newer program wrote it, kCheckpoint when it is damaged; it is never made anew over a
  // campaign. file_system: an SQLite VFS; null: the usual one.
  explicit Store(const std::string& directory, Commits commits = Commits::kFlushed,
                 const char* file_system = nullptr);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Whether another process has the store now. False when there is none.
  [[nodiscard]] static bool is_held(const std::string& directory);

  // Everything between begin and commit is one transaction. commit() flushes. An error of either
  // or between them: nothing of it is there once rollback() is called.
  void begin();
  void commit();
  void rollback() noexcept;
  // Until everything that was written behind is there. Throws why it is not.
  void settle();
  [[nodiscard]] double seconds_behind();  // that the other thread has worked

  [[nodiscard]] std::optional<std::string> meta(const std::string& name);
  void set_meta(const std::string& name, const std::string& value);

  // The number of this text with blanks; a known one's is that of before.
  std::int64_t put_form(const std::string& text);
  void put_stage(StoredStage& stage);           // a new one gets its row
  void update_stage(const StoredStage& stage);  // state, lease and error of one that is there;
                                                // its result, when it has one
  [[nodiscard]] std::string spec_of(const StoredStage& stage);  // canonical text
  void put_trial(const StoredTrial& trial);
  void put_gang(const StoredGang& gang);
  void remove_gang(std::int64_t id);
  void put_tuned(const std::string& group, const std::string& path, const std::string& value);

  void add_decision(const StoredDecision& decision);  // behind those that there are

  [[nodiscard]] std::vector<StoredStage> stages();  // in the order of their rows
  [[nodiscard]] std::vector<std::pair<std::string, StageState>> states();  // by stage key
  [[nodiscard]] std::vector<StoredTrial> trials();                         // in the order planned
  [[nodiscard]] std::vector<StoredGang> gangs();
  [[nodiscard]] std::vector<StoredDecision> decisions();  // in order
  [[nodiscard]] std::map<std::string, std::map<std::string, std::string>> tuned();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Keys of done stages whose checkpoint was deleted because nothing needed it (finescale prune).
[[nodiscard]] std::set<std::string> pruned_stages(Store& store);
void put_pruned_stages(Store& store, const std::set<std::string>& keys);

}  // namespace finescale
