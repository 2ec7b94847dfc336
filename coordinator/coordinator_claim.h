// SPDX-License-Identifier: Apache-2.0
// A coordinator's hold on its campaign, as coordinator.json tells everybody. The lock of the store
// keeps a second coordinator away on this machine; where a file system does not carry locks to
// others, one that was stopped and wakes up finds here that it has been followed. One thread.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>

#include "comm/rpc/client.h"

namespace finescale {

class CoordinatorClaim {
 public:
  // Writes coordinator.json.
  CoordinatorClaim(std::string campaign, const CoordinatorAddress& address);
  // Throws kResource when another coordinator has taken the campaign over, or had it and is gone.
  // Cheap: asked before anything that others could see is changed.
  void require();
  // Removes coordinator.json: nobody coordinates. Throws as require().
  void give_up();

 private:
  // Of the file as it was last read: another one has another inode or time.
  struct Mark {
    std::uint64_t inode = 0;
    std::timespec changed{};
  };
  [[nodiscard]] bool is_unchanged(Mark& now) const;

  std::string path_;
  std::string campaign_;
  std::int64_t epoch_;
  Mark mark_;
};

}  // namespace finescale
