// SPDX-License-Identifier: Apache-2.0
// Groups of threads inside one process, for tests: run_local_ranks(4, body) calls body(group) on
// four threads.
#pragma once

#include <functional>

#include "comm/group.h"

namespace finescale {

void run_local_ranks(
    int ranks, const std::function<void(Group&)>& body);  // rethrows the first error of any rank

}  // namespace finescale
