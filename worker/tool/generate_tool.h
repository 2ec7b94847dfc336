// SPDX-License-Identifier: Apache-2.0
// finescale generate: text from a model. One answer streams to standard output as it is made;
// several are printed whole and in order; with --json there is one document at the end.
#pragma once

namespace finescale {

// Arguments behind the name of the tool. Returns the exit code.
[[nodiscard]] int generate_tool(int argc, char** argv);

}  // namespace finescale
