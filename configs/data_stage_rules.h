// SPDX-License-Identifier: Apache-2.0
// Rules of the stages that make data, and of data that are drawn from tasks.
#pragma once

#include <string>

#include "configs/rule_report.h"
#include "configs/schema/sweep.pb.h"
#include "configs/stage_links.h"

namespace finescale {

// `path`: of the stage; `input`: what it reads.
void check_generate(const DataFacts& input, const std::string& path, const RuleReport& report);
void check_score(const DataFacts& input, const std::string& path, const RuleReport& report);
void check_select(const config::Select& select, const DataFacts& input, const std::string& path,
                  const RuleReport& report);

void check_task(const config::Task& task, const std::string& path, const RuleReport& report);

// What the metrics of several sets together end in: TAG-sets, all-sets.
inline constexpr const char* kSuiteEnding = "-sets";

// Metrics that a verifier gives: each eval set must come from a task.
[[nodiscard]] bool needs_verifier(const std::string& metric);
void check_has_verifiers(const config::Sweep& sweep, const std::string& metric,
                         const std::string& path, const RuleReport& report);

}  // namespace finescale
