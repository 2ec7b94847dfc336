// SPDX-License-Identifier: Apache-2.0
// The status document in Prometheus' text format, version 0.0.4.
#pragma once

#include <string>

namespace finescale {

inline constexpr const char* kPrometheusType = "text/plain; version=0.0.4; charset=utf-8";

// status: as `finescale status --json`.
[[nodiscard]] std::string prometheus_text(const std::string& status);

}  // namespace finescale
