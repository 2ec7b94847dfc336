// SPDX-License-Identifier: Apache-2.0
// A sweep as `run` and `submit` take it: read, and for a new campaign checked against its data and
// base model, so that a wrong line is found now and not by the first gang.
#pragma once

#include <string>
#include <vector>

#include "configs/parse.h"
#include "configs/schema/sweep.pb.h"

namespace finescale {

struct CheckedSweep {
  config::Sweep sweep;
  std::string directory;           // of the campaign, absolute
  std::vector<std::string> found;  // what the data files hold, for people
};

// Throws kConfig or kData, with nothing written.
[[nodiscard]] CheckedSweep check_sweep(const std::string& file,
                                       const std::vector<Override>& overrides);

}  // namespace finescale
