// SPDX-License-Identifier: Apache-2.0
// A ParameterSet's tensors as the checkpoint writes and reads them.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "worker/model/parameters.h"

namespace finescale {

// Every tensor of the set, its values taken from `block` (a flat block of the set's layout), under
// group/<name>. This version holds every tensor whole on every rank; the rank with writes = true
// writes it.
[[nodiscard]] std::vector<CheckpointTensor> tensors_of(const std::string& group,
                                                       const ParameterSet& set,
                                                       const TensorView& block,
                                                       bool writes = false);

}  // namespace finescale
