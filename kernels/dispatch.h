// SPDX-License-Identifier: Apache-2.0
// What a dispatcher says when a device has no twin of an operation yet.
#pragma once

namespace finescale {

[[noreturn]] void no_kernel(const char* operation);  // throws kDevice

}  // namespace finescale
