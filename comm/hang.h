// SPDX-License-Identifier: Apache-2.0
// Who is late, from what the ranks say they are doing. Pure.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "comm/rank_report.h"

namespace finescale {

struct RankIdentity {
  std::string host;
  int pid = 0;
};

struct RankState {
  RankIdentity identity;
  std::optional<RankReport> report;  // none: it does not answer
};

// One message about the ranks of the world that the others wait for, by rank of the world. Nothing
// when no call is older than `timeout_s`. Waits are followed from rank to rank: the message names
// those at their end.
[[nodiscard]] std::optional<std::string> describe_hang(std::span<const RankState> ranks,
                                                       double timeout_s);

}  // namespace finescale
