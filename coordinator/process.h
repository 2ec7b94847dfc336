// SPDX-License-Identifier: Apache-2.0
// Runs another program, argv only, no shell.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace finescale {

inline constexpr int kTimedOut =
    124;  // the code of one that was killed for its time, as timeout(1) says it

struct ProcessOptions {
  std::string input;           // for its standard input
  double timeout_s = 0;        // then it is killed (kTimedOut); 0: never
  bool keep_errors = false;    // standard error into `err`; else it goes through
  std::size_t max_output = 0;  // bytes of standard output, the rest is thrown away; 0: all
};
struct ProcessOutput {
  int code = 0;     // 128 + signal when killed, 127 when it could not be started
  std::string out;  // standard output
  std::string err;  // standard error, when it was kept
};

// Blocks.
[[nodiscard]] ProcessOutput run_process(const std::vector<std::string>& arguments,
                                        const ProcessOptions& options);
[[nodiscard]] ProcessOutput run_process(const std::vector<std::string>& arguments,
                                        const std::string& input = {});

}  // namespace finescale
