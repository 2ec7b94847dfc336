// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint_tensors.h"

namespace finescale {

std::vector<CheckpointTensor> tensors_of(const std::string& group, const ParameterSet& set,
                                         const TensorView& block, bool writes) {
  std::vector<CheckpointTensor> tensors;
  for (int index = 0; index < set.size(); ++index) {
    CheckpointTensor tensor;
    tensor.path = group + "/" + set.tensor(index).name;
    tensor.shape = set.tensor(index).shape;
    tensor.part.shape = tensor.shape;
    tensor.part.offset = tensor.shape;
    for (int axis = 0; axis < tensor.shape.rank; ++axis) {
      tensor.part.offset.dims[static_cast<std::size_t>(axis)] = 0;
    }
    tensor.writes = writes;
    tensor.local = set.view_in(block, index);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace finescale
