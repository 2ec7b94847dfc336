// SPDX-License-Identifier: Apache-2.0
// Rules of what is asked of Slurm: what would spoil a batch script, or be refused much later.
#pragma once

#include <optional>
#include <string_view>

#include "configs/rule_report.h"
#include "configs/schema/sweep.pb.h"

namespace finescale {

// Seconds of a limit as Slurm writes it: minutes, minutes:seconds, hours:minutes:seconds,
// days-hours, days-hours:minutes, days-hours:minutes:seconds. Nothing for anything else.
[[nodiscard]] std::optional<double> parse_slurm_time(std::string_view text);

// Both throw kConfig at the field.
void check_slurm(const config::Slurm& slurm, const RuleReport& report);
// The launcher pool, and where gangs on other nodes find the coordinator.
void check_pool(const config::Resources& resources, const RuleReport& report);

}  // namespace finescale
