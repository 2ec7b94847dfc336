// SPDX-License-Identifier: Apache-2.0
#include "coordinator/coordinator_claim.h"

#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "comm/rpc/address.h"
#include "core/error.h"

namespace finescale {

CoordinatorClaim::CoordinatorClaim(std::string campaign, const CoordinatorAddress& address)
    : path_(campaign + "/coordinator.json"), campaign_(std::move(campaign)), epoch_(address.epoch) {
  write_address(campaign_, address);
  (void)is_unchanged(mark_);
}

bool CoordinatorClaim::is_unchanged(Mark& now) const {
  struct stat file {};
  now = {};
  if (::stat(path_.c_str(), &file) == 0) {
    now = {file.st_ino, file.st_mtim};
  }
  return now.inode != 0 && now.inode == mark_.inode && now.changed.tv_sec == mark_.changed.tv_sec &&
         now.changed.tv_nsec == mark_.changed.tv_nsec;
}

void CoordinatorClaim::require() {
  Mark now;
  if (is_unchanged(now)) {
    return;
  }
  const std::optional<CoordinatorAddress> address = read_address(campaign_);
  if (address && address->epoch == epoch_) {  // the same words in another file
    mark_ = now;
    return;
  }
  throw Error(ErrorKind::kResource,
              address ? "process " + std::to_string(address->pid) + " on " + address->machine +
                            " has taken this campaign over; this coordinator ends"
                      : "this campaign has no coordinator.json any more: another coordinator has "
                        "had it, or the file was removed; this coordinator ends",
              path_, "finescale status tells how it stands; finescale run continues it");
}

void CoordinatorClaim::give_up() {
  require();
  std::filesystem::remove(path_);
}

}  // namespace finescale
