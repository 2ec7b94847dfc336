// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint_tensors.h"

#include <utility>

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

}  // namespace finescale
