// SPDX-License-Identifier: Apache-2.0
// What the served page has beside the report: a panel that follows the status document.
#pragma once

#include <string>

#include "coordinator/report/report.h"

namespace finescale {

// nonce: of this answer, for the only script that the page may run. status: the document now, so
// that the page says something without a script too.
[[nodiscard]] LivePart live_part(const std::string& status, const std::string& nonce);

}  // namespace finescale
