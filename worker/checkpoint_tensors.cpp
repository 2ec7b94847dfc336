// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint_tensors.h"

#include <utility>

#include "core/gpu.h"

namespace finescale {

std::vector<CheckpointTensor> local_tensors(const std::string& group, const ParameterSet& set,
                                            bool writes) {
  return local_tensors(group, set, set.flat(), writes);
}

std::vector<CheckpointTensor> local_tensors(const std::string& group, const ParameterSet& set,
                                            const TensorView& block, bool writes) {
  std::vector<CheckpointTensor> tensors;
  for (int index = 0; index < set.size(); ++index) {
    CheckpointTensor tensor;
    tensor.path = group + "/" + set.tensor(index).name;
    tensor.shape = set.tensor(index).shape;
    tensor.part = set.part(index);
    tensor.writes = writes;
    tensor.local = set.view_in(block, index);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

void put_on_host(const Stream& stream, HostCopy::For purpose,
                 std::vector<CheckpointTensor>& tensors, std::vector<HostCopy>& copies) {
  for (CheckpointTensor& tensor : tensors) {
    if (stream.on_gpu() && stream.gpu()->holds(tensor.local.data)) {
      tensor.local = copies.emplace_back(stream, tensor.local, purpose).view();
    }
  }
}

}  // namespace finescale
