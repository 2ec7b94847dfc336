// SPDX-License-Identifier: Apache-2.0
// Forms of `finescale results`.
#pragma once

#include <string>

#include "coordinator/campaign_reader.h"

namespace finescale {

// canonical: without times and places, bit-identical for equal work.
[[nodiscard]] std::string results_json(const Campaign& campaign, bool canonical);
[[nodiscard]] std::string results_csv(const Campaign& campaign);
[[nodiscard]] std::string results_table(const Campaign& campaign);

}  // namespace finescale
