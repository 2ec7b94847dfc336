// SPDX-License-Identifier: Apache-2.0
// finescale chat: a conversation with a model. Each line of standard input is what the user says;
// answers stream to standard output.
#pragma once

namespace finescale {

// Arguments behind the name of the tool. Returns the exit code.
[[nodiscard]] int chat_tool(int argc, char** argv);

}  // namespace finescale
