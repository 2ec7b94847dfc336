// SPDX-License-Identifier: Apache-2.0
// Rules of a teacher that lies in files.
#pragma once

#include <string>

#include "configs/rule_report.h"
#include "configs/schema/sweep.pb.h"

namespace finescale {

// It is there, its tokens are as many as the model's, and it has room for the longest example, as
// far as that can be known without reading weights. path: of the training stage.
void check_teacher_files(const config::Sweep& sweep, const config::Train& train,
                         const std::string& path, const RuleReport& report);

}  // namespace finescale
