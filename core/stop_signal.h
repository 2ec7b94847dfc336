// SPDX-License-Identifier: Apache-2.0
// The wish of a user or a batch system that a long job ends. The first SIGINT or SIGTERM is noted,
// and the job saves and ends; another one ends the process at once. Launchers signal a process and
// its group, so that one wish arrives twice: what comes within a second of the first is the same.
#pragma once

namespace finescale {

void watch_stop_signals();
// SIGUSR1, by which a batch system warns that the time is nearly over, is noted as a SIGTERM.
void watch_limit_warning();
// The system's own handling again; what was noted is forgotten.
void unwatch_stop_signals();
// SIGINT or SIGTERM once it came; 0 before.
[[nodiscard]] int stop_signal() noexcept;

}  // namespace finescale
