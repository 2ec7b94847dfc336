// SPDX-License-Identifier: Apache-2.0
// Cross-field rules, and defaults that messages cannot carry. After these nothing validates or
// guesses again.
#pragma once

#include <string>

#include "configs/parse.h"
#include "configs/schema/sweep.pb.h"
#include "configs/yaml_reader.h"

namespace finescale {

// Names the stages that have none: train, evaluate, train2.
void resolve_names(config::Sweep& sweep);

// Fills what was left out: names, method, objective, schedule, batch, betas, metrics, search,
// launcher, laws, mesh, output. Doing it twice changes nothing.
void resolve_defaults(config::Sweep& sweep);

// Stages have kinds and names of their own: needed before a path can be looked up. Throws kConfig.
void check_structure(const config::Sweep& sweep, const std::string& file,
                     const Positions& positions);

// Throws kConfig at the position of the field, or at `file` when it was never written. Every axis
// value is checked with the other axes at their first value.
void check_rules(const config::Sweep& sweep, const std::string& file, const Positions& positions,
                 NamedFiles files);

// The rules that a combination of axis values can break; no file is looked at. Throws kConfig at
// `where`.
void check_combination(const config::Sweep& sweep, const std::string& where);

// Kind name of a stage: train, evaluate.
[[nodiscard]] std::string stage_kind(const config::Stage& stage);

}  // namespace finescale
