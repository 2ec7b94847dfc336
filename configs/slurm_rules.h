// SPDX-License-Identifier: Apache-2.0
// Rules of resources.slurm: what would spoil a batch script, or be refused by Slurm much later.
#pragma once

#include <optional>
#include <string_view>

#include "configs/rule_report.h"
#include "configs/schema/sweep.pb.h"

namespace finescale {

// Seconds of a limit as Slurm writes it: minutes, minutes:seconds, hours:minutes:seconds,
// days-hours, days-hours:minutes, days-hours:minutes:seconds. Nothing for anything else.
[[nodiscard]] std::optional<double> parse_slurm_time(std::string_view text);

// Throws kConfig at the field.
void check_slurm(const config::Slurm& slurm, const RuleReport& report);

}  // namespace finescale
