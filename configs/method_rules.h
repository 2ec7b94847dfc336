// SPDX-License-Identifier: Apache-2.0
// Rules of how a training stage changes weights: its method and its update rule.
#pragma once

#include <string>

#include "configs/decoder.h"
#include "configs/rule_report.h"
#include "configs/schema/sweep.pb.h"

namespace finescale {

// path: of the training stage.
void check_method(const config::Train& train, const std::string& path, const RuleReport& report);
// Whether the objective compares with the model that the stage starts from.
[[nodiscard]] bool needs_reference(const config::Objective& objective);
// Whether it learns from {prompt, chosen, rejected}.
[[nodiscard]] bool learns_from_pairs(const config::Objective& objective);
void check_optimizer(const config::Train& train, const std::string& path, const RuleReport& report);
// What the method asks of the model.
void check_method_fits(const config::Train& train, const DecoderShape& model,
                       const std::string& path, const RuleReport& report);
// What the method asks of the mesh.
void check_method_on_mesh(const config::Train& train, const DecoderShape& model,
                          const config::Mesh& mesh, const std::string& path,
                          const RuleReport& report);

}  // namespace finescale
