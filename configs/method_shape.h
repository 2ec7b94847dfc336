// SPDX-License-Identifier: Apache-2.0
// What a method and an update rule allocate beside the base, as the planner's plain numbers.
#pragma once

#include "configs/decoder.h"
#include "configs/schema/train.pb.h"
#include "sharding/planner/workload.h"

namespace finescale {

// The linear layers of a block that adapters can stand beside, by the names that users give.
[[nodiscard]] const std::vector<std::string>& module_names();

// Throws kConfig when the method trains nothing of the model.
[[nodiscard]] planner::MethodShape method_shape(const config::Method& method,
                                                const DecoderShape& model);
// Virtual tokens that the method puts in front of every example: they take positions of the model.
[[nodiscard]] std::int64_t num_virtual_tokens(const config::Method& method);
// Elements that an update rule has of whole tensors, on every rank: the largest of them, of muon
// its next values and two squares of the smaller side, of adafactor means of rows and columns of
// all.
[[nodiscard]] double whole_elements(const config::Train& train, const DecoderShape& model);

}  // namespace finescale
