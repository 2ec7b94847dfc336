// SPDX-License-Identifier: Apache-2.0
// A step that may fail on some ranks only (a full disk, a damaged file): all ranks learn of it, so
// none is left waiting in the next collective.
#pragma once

#include <functional>

#include "comm/group.h"

namespace finescale {

// Calls body() on every rank. When it threw an Error anywhere, every rank throws that of the lowest
// failing rank. `body` may hold collectives only where it cannot throw between them. Collective
// over the group.
void run_together(Group& group, const std::function<void()>& body);

}  // namespace finescale
