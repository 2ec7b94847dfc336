// SPDX-License-Identifier: Apache-2.0
// Cross-field rules and defaults that messages cannot carry. After these nothing validates or guesses again.
#pragma once

#include <string>

#include "configs/schema/sweep.pb.h"
#include "configs/yaml_reader.h"

namespace finescale {

// Fills what was left out: method, objective, schedule, batch, betas, metrics, search, launcher, laws, mesh, names.
void resolve_defaults(config::Sweep& sweep);

// Throws kConfig at the position of the field, or at `file` when it was never written.
void check_rules(const config::Sweep& sweep, const std::string& file, const Positions& positions);

// Kind name of a stage: train, evaluate.
[[nodiscard]] std::string stage_kind(const config::Stage& stage);

}  // namespace finescale
