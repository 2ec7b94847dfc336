// SPDX-License-Identifier: Apache-2.0
// How many threads take a row whose elements stay in registers, and how many each has.
#pragma once

#include <cstdint>
#include <type_traits>

namespace finescale::cuda {

// run(threads, columns) as integral constants: threads * columns >= width, which is at most
// kFusedWidth (partial_sums.h).
template <class Run>
void for_columns(std::int64_t width, const Run& run) {
  using Threads = std::integral_constant<int, 256>;
  if (width <= 256) {
    run(Threads(), std::integral_constant<int, 1>());
  } else if (width <= 1024) {
    run(Threads(), std::integral_constant<int, 4>());
  } else if (width <= 2048) {
    run(Threads(), std::integral_constant<int, 8>());
  } else if (width <= 4096) {
    run(Threads(), std::integral_constant<int, 16>());
  } else {
    run(std::integral_constant<int, 512>(), std::integral_constant<int, 16>());
  }
}

}  // namespace finescale::cuda
