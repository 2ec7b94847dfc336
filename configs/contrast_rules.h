// SPDX-License-Identifier: Apache-2.0
// Rules of contrasts: arms that exist, expectations that can be read.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "configs/rule_report.h"
#include "configs/schema/sweep.pb.h"

namespace finescale {

struct Expectation {
  bool more = true;  // > bound, else < bound
  double bound = 0;
};
// "> 0.5". Nothing when it is not of this form.
[[nodiscard]] std::optional<Expectation> parse_expectation(const std::string& text);

using AxisChoices = google::protobuf::RepeatedPtrField<config::AxisChoice>;

// The two arms of a contrast; empty: its kind has none.
struct ContrastArms {
  const AxisChoices* of = nullptr;
  const AxisChoices* to = nullptr;
};
[[nodiscard]] ContrastArms arms_of(const config::Contrast& contrast);
// The axis that data_to_reach counts; empty: there is none.
[[nodiscard]] std::string reach_axis(const config::Contrast& contrast, const config::Sweep& sweep);
// Whether effects are logarithms of ratios.
[[nodiscard]] bool is_ratio(const config::Contrast& contrast);

// `values_of`: of an axis, as canonical text; `check_metric`: that some stage measures it.
void check_contrasts(
    const config::Sweep& sweep,
    const std::function<const std::vector<std::string>&(const config::Axis&)>& values_of,
    const std::function<void(const std::string& metric, const std::string& path)>& check_metric,
    const RuleReport& report);

}  // namespace finescale
