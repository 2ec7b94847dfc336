// SPDX-License-Identifier: Apache-2.0
// Proves the accounting of a campaign, or lists each violation.
#pragma once

#include <string>
#include <vector>

#include "coordinator/campaign_reader.h"

namespace finescale {

struct Violation {
  std::string rule;
  std::string what;
};
struct Audit {
  std::int64_t planned = 0, committed = 0, stopped = 0, failed = 0, pending = 0;  // stages
  std::int64_t train_tokens = 0;  // executed and kept, each update once
  double train_flops = 0;
  std::vector<Violation> violations;
};

[[nodiscard]] Audit audit_campaign(const Campaign& campaign);
[[nodiscard]] std::string audit_json(const Audit& audit);

}  // namespace finescale
