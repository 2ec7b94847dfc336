// SPDX-License-Identifier: Apache-2.0
// The emulated profiler: what ranges this thread opened.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace finescale::cuda::emulation {

struct Range {
  std::string name;
  std::int64_t index = -1;
  int depth = 0;  // ranges around it
};
// Those opened since the last call, in their order; from the first call on they are kept. Throws
// when one of them is not closed.
[[nodiscard]] std::vector<Range> take_ranges();

}  // namespace finescale::cuda::emulation
