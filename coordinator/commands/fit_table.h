// SPDX-License-Identifier: Apache-2.0
// Reads the table of `fit --csv`: a header line with D and loss, and any of N, U, group, trunk (or
// seed), weight; then one point per line. Comma separated, fields may be quoted, # starts a comment
// line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "coordinator/scaling/law.h"

namespace finescale {

// Throws kData with file:line for what cannot be read.
[[nodiscard]] std::vector<LawPoint> read_fit_table(const std::string& path);
// `name` stands for the file in errors.
[[nodiscard]] std::vector<LawPoint> parse_fit_table(std::string_view text, const std::string& name);

}  // namespace finescale
