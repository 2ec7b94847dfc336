// SPDX-License-Identifier: Apache-2.0
// finescale-worker tool data: whether every line of the data is an example, before a sweep begins.
// Reads {"files": [{"path", "limit" or absent}, ...], "on_bad_example": "error"|"skip"} on standard
// input, answers {"files": [{"path", "examples", "skipped"}]}; the first bad line is an error (exit
// code 2) that names it. No MPI.
#pragma once

#include <string>

namespace finescale {

[[nodiscard]] std::string data_tool(const std::string& request);

}  // namespace finescale
