// SPDX-License-Identifier: Apache-2.0
// Exceptions of libraries at the end of a program, as ours.
#pragma once

#include <exception>

#include "core/error.h"

namespace finescale {

// What the file system or the system refused is kIo, memory that is not there kResource; anything
// else is a defect, kInternal.
[[nodiscard]] Error foreign_error(const std::exception& error);

}  // namespace finescale
