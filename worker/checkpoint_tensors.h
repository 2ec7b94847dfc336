// SPDX-License-Identifier: Apache-2.0
// A ParameterSet's tensors as the checkpoint writes and reads them.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/transfer.h"
#include "worker/model/parameters.h"

namespace finescale {

// This rank's part of every tensor of an allocated set, under group/<name>, to be read; with
// `writes` also to be written.
[[nodiscard]] std::vector<CheckpointTensor> local_tensors(const std::string& group,
                                                          const ParameterSet& set,
                                                          bool writes = false);
// The same with the values of `block`, a flat block of the set's layout.
[[nodiscard]] std::vector<CheckpointTensor> local_tensors(const std::string& group,
                                                          const ParameterSet& set,
                                                          const TensorView& block, bool writes);

// Tensors in the memory of the stream's GPU get copies on the host in their place, which `copies`
// keeps; nothing happens on the CPU. For reading a checkpoint the copies are committed behind it.
void put_on_host(const Stream& stream, HostCopy::For purpose,
                 std::vector<CheckpointTensor>& tensors, std::vector<HostCopy>& copies);

}  // namespace finescale
