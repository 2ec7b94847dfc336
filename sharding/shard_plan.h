// SPDX-License-Identifier: Apache-2.0
// Units: contiguous ranges of a rank's flat parameter block that are gathered, reduced and updated
// together.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor.h"

namespace finescale {

struct UnitRange {  // elements of the local flat block
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

// A parameter-shaped flat block, unit by unit; the memory of a unit may be shared with units that
// are not in use.
using UnitBlocks = std::vector<TensorView>;

}  // namespace finescale
