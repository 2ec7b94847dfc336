// SPDX-License-Identifier: Apache-2.0
// Runs another program, argv only, no shell.
#pragma once

#include <string>
#include <vector>

namespace finescale {

struct ProcessOutput {
  int code = 0;     // 128 + signal when killed, 127 when it could not be started
  std::string out;  // standard output; standard error goes through
};

// input goes to its standard input. Blocks.
[[nodiscard]] ProcessOutput run_process(const std::vector<std::string>& arguments,
                                        const std::string& input = {});

}  // namespace finescale
