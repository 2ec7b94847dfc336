// SPDX-License-Identifier: Apache-2.0
// Rules of how a training stage changes weights: its method and its update rule.
#pragma once

#include <cstdint>
#include <optional>
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
// Virtual tokens take positions, and every token must see them.
void check_positions(const config::Train& train, const DecoderShape& model, std::int64_t max_length,
                     const std::string& path, const RuleReport& report);
struct MethodFault {
  std::string message, hint;
};
// Of num_virtual_tokens; nothing: they have room.
[[nodiscard]] std::optional<MethodFault> virtual_token_fault(const config::Method& method,
                                                             const DecoderShape& model,
                                                             std::int64_t max_length);
// Whether what the method learns is no change of the base's matrices: it cannot be merged.
[[nodiscard]] bool is_beside_weights(const config::Method& method);
// What the method asks of the mesh.
void check_method_on_mesh(const config::Train& train, const DecoderShape& model,
                          const config::Mesh& mesh, const std::string& path,
                          const RuleReport& report);

}  // namespace finescale
