// SPDX-License-Identifier: Apache-2.0
// What the kernel says about processes of this machine.
#pragma once

namespace finescale {

// Whether there is such a process and it has not ended; one that has ended may stand in the table
// until its parent, who may be stopped, waits for it.
[[nodiscard]] bool is_running(int pid);

// Whether `pid` has children and every one of them has ended without being waited for. That is how
// an mpirun looks that hangs at its end: its ranks are gone, it is not. False where the kernel does
// not list children.
[[nodiscard]] bool all_children_ended(int pid);

}  // namespace finescale
