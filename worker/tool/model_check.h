// SPDX-License-Identifier: Apache-2.0
// finescale-worker tool model: whether a base can be opened, before a sweep begins. Reads {"path",
// "adapter", "max_length", "response_end", "prompt_end"} on standard input, answers {"family"};
// what is wrong with the files is an error (exit code 2). Headers are read, weights are not. No
// MPI.
#pragma once

#include <string>

namespace finescale {

[[nodiscard]] std::string model_check_tool(const std::string& request);

}  // namespace finescale
