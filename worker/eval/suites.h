// SPDX-License-Identifier: Apache-2.0
// Evaluation sets together: all of them, and those of each tag.
#pragma once

#include "comm/proto/result.pb.h"
#include "configs/schema/stage.pb.h"

namespace finescale {

// Adds all-sets.<metric> and <tag>-sets.<metric> to the rows of the sets, where some set has tags:
// the mean over their labelled tokens or examples, as if they were one set. Pure.
void add_suites(const config::EvaluateSpec& spec, proto::StageResult& result);

}  // namespace finescale
