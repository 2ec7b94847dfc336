// SPDX-License-Identifier: Apache-2.0
// Rules of weight surgery: how many models it takes, which tensors it names.
#pragma once

#include <string>

#include "configs/decoder.h"
#include "configs/rule_report.h"
#include "configs/schema/transform.pb.h"

namespace finescale {

void check_transform(const config::Transform& transform, int num_models, const std::string& path,
                     const RuleReport& report);
// That every pattern names some tensor of the model.
void check_patterns_fit(const config::Transform& transform, const DecoderShape& model,
                        const std::string& path, const RuleReport& report);

}  // namespace finescale
