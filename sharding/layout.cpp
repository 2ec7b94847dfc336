// SPDX-License-Identifier: Apache-2.0
#include "sharding/layout.h"

#include "core/error.h"

namespace finescale {

LocalPart Layout::local_part(const LogicalTensor& tensor) const {
  LocalPart part;
  part.shape = tensor.shape;
  part.offset = tensor.shape;
  part.offset.dims = {};
  switch (placement_.kind) {
    case Placement::Kind::kReplicated:
      return part;
    case Placement::Kind::kSplit: {
      FS_CHECK(placement_.tensor_axis >= 0 && placement_.tensor_axis < tensor.shape.rank,
               "no such axis in " + tensor.name);
      const auto axis = static_cast<std::size_t>(placement_.tensor_axis);
      const std::int64_t whole = tensor.shape.dims[axis];
      const int ranks = mesh_->shape().data;
      const int rank = mesh_->data_index();
      part.offset.dims[axis] = whole * rank / ranks;
      part.shape.dims[axis] = whole * (rank + 1) / ranks - part.offset.dims[axis];
      return part;
    }
  }
  return part;
}

bool Layout::writes(const LogicalTensor& tensor) const {
  switch (placement_.kind) {
    case Placement::Kind::kReplicated:
      return mesh_->data_index() == 0;
    case Placement::Kind::kSplit:
      return local_part(tensor).shape.num_elements() > 0;
  }
  return false;
}

}  // namespace finescale
