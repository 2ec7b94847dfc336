// SPDX-License-Identifier: Apache-2.0
// What the kernel says about the processes that another one has started.
#pragma once

namespace finescale {

// Whether `pid` has children and every one of them has ended without being waited for. That is how
// an mpirun looks that hangs at its end: its ranks are gone, it is not. False where the kernel does
// not list children.
[[nodiscard]] bool all_children_ended(int pid);

}  // namespace finescale
