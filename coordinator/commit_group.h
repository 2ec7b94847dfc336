// SPDX-License-Identifier: Apache-2.0
// Changes of stages and gangs that go into the store in one transaction, since each flush costs as
// much as hundreds of rows. What rests on one of them is said to nobody before. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "coordinator/store.h"

namespace finescale {

class CommitGroup {
 public:
  // The stage outlives the group and is written as it is then.
  void update_stage(const StoredStage& stage) { stages_[stage.row] = &stage; }
  void put_gang(std::int64_t id, std::int64_t process) { gangs_[id] = process; }
  void remove_gang(std::int64_t id) { gangs_[id] = kNoProcess; }

  [[nodiscard]] bool is_empty() const noexcept { return stages_.empty() && gangs_.empty(); }
  // Whether the group is on disk. False: there is no space, or the disk fails; the group stays, and
  // `why` says so.
  [[nodiscard]] bool flush(Store& store, std::string& why);

 private:
  static constexpr std::int64_t kNoProcess = -1;

  std::map<std::int64_t, const StoredStage*> stages_;  // by row: written in one order
  std::map<std::int64_t, std::int64_t> gangs_;         // id -> process, or kNoProcess
};

// The largest id of any gang there was: a gang that was given up may still call.
[[nodiscard]] std::int64_t last_gang(Store& store);

}  // namespace finescale
