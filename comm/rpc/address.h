// SPDX-License-Identifier: Apache-2.0
// coordinator.json: where the coordinator of a campaign directory listens, its token and epoch.
// Mode 0600.
#pragma once

#include <optional>
#include <string>

#include "comm/rpc/client.h"

namespace finescale {

void write_address(const std::string& campaign, const CoordinatorAddress& address);
// Nothing when there is none or it cannot be read.
[[nodiscard]] std::optional<CoordinatorAddress> read_address(const std::string& campaign);

}  // namespace finescale
