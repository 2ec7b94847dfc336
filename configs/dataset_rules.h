// SPDX-License-Identifier: Apache-2.0
// Rules of datasets and of what is done to them, by what is known before anything is read.
#pragma once

#include <string>
#include <vector>

#include "configs/rule_report.h"
#include "configs/schema/sweep.pb.h"
#include "configs/stage_links.h"

namespace finescale {

// `field`: where the dataset stands in the sweep file. All that it names is there.
void check_dataset(const config::Sweep& sweep, const std::vector<StageLinks>& links,
                   const config::Dataset& dataset, const std::string& field,
                   const RuleReport& report);

}  // namespace finescale
