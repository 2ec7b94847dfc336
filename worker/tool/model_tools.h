// SPDX-License-Identifier: Apache-2.0
// finescale export, import and score. Results go to standard output, what is said to people to
// standard error.
#pragma once

namespace finescale {

[[nodiscard]] int export_tool(int argc, char** argv);
[[nodiscard]] int import_tool(int argc, char** argv);
[[nodiscard]] int score_tool(int argc, char** argv);

}  // namespace finescale
