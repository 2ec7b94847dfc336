// SPDX-License-Identifier: Apache-2.0
// finescale verify-resume. Exit code 1: the bits of a trial are not those of its record.
#pragma once

namespace finescale {

[[nodiscard]] int verify_resume_tool(int argc, char** argv);

}  // namespace finescale
