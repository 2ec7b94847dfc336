// SPDX-License-Identifier: Apache-2.0
// What a trial measured, for what decides by results: tuning and searches. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "coordinator/plan.h"
#include "coordinator/reactor.h"

namespace finescale {

// The value of "<set>.<metric>" of a done trial; infinite when it failed or was stopped, nothing
// while it is open. Throws kConfig, at `where`, when a done trial does not measure it.
[[nodiscard]] std::optional<double> measured(const PlannedTrial& trial, const StageEntries& stages,
                                             const std::string& metric, const std::string& where);

// The value as something to be made small: infinite when it is not finite.
[[nodiscard]] double cost_of(const std::string& metric, double value);

}  // namespace finescale
