// SPDX-License-Identifier: Apache-2.0
#include "sharding/layout.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/hash.h"

namespace finescale {

namespace {

constexpr std::int64_t kSpreadElements = std::int64_t{1} << 18;  // 1 MiB of f32: a useful write

}  // namespace

LocalPart local_part(const LogicalTensor& tensor, int tensor_rank, int tensor_size) {
  LocalPart part;
  part.shape = tensor.shape;
  part.offset = tensor.shape;
  part.offset.dims = {};
  if (tensor.placement.kind == Placement::Kind::kReplicated || tensor_size == 1) {
    return part;
  }
  const auto dim = static_cast<std::size_t>(tensor.placement.dim);
  const int parts = tensor_size / copies(tensor, tensor_size);
  FS_CHECK(tensor.placement.dim < tensor.shape.rank && tensor.shape.dims[dim] % parts == 0,
           tensor.name + " is not divisible into " + std::to_string(parts) + " parts");
  part.shape.dims[dim] = tensor.shape.dims[dim] / parts;
  part.offset.dims[dim] = part.shape.dims[dim] * (tensor_rank / copies(tensor, tensor_size));
  return part;
}

int copies(const LogicalTensor& tensor, int tensor_size) {
  if (tensor.placement.kind == Placement::Kind::kReplicated) {
    return tensor_size;
  }
  const int parts = tensor.placement.parts == 0 ? tensor_size : tensor.placement.parts;
  FS_CHECK(parts >= 1 && tensor_size % std::min(parts, tensor_size) == 0,
           tensor.name + ": ranks do not share its parts evenly");
  return tensor_size / std::min(parts, tensor_size);
}

bool is_first_copy(const LogicalTensor& tensor, int tensor_rank, int tensor_size) {
  return tensor_rank % copies(tensor, tensor_size) == 0;
}

LocalPart Layout::local_part(const LogicalTensor& tensor) const {
  LocalPart part;
  part.shape = tensor.shape;
  part.offset = tensor.shape;
  part.offset.dims = {};
  if (placement_.kind == Placement::Kind::kReplicated) {
    return part;
  }
  FS_CHECK(placement_.dim >= 0 && placement_.dim < tensor.shape.rank,
           "no such axis in " + tensor.name);
  const auto axis = static_cast<std::size_t>(placement_.dim);
  const std::int64_t whole = tensor.shape.dims[axis];
  const int ranks = mesh_->shape().data;
  const int rank = mesh_->data_index();
  part.offset.dims[axis] = whole * rank / ranks;
  part.shape.dims[axis] = whole * (rank + 1) / ranks - part.offset.dims[axis];
  return part;
}

bool Layout::writes(const LogicalTensor& tensor) const {
  switch (placement_.kind) {
    case Placement::Kind::kReplicated: {
      // Small tensors all come from rank 0, so that a small file needs no other rank; large ones
      // are spread.
      if (tensor.shape.num_elements() < kSpreadElements) {
        return mesh_->data_index() == 0;
      }
      const std::string hash = hash_hex(tensor.name);
      const auto ranks = static_cast<unsigned long>(mesh_->shape().data);
      return std::cmp_equal(std::stoul(hash.substr(0, 8), nullptr, 16) % ranks,
                            mesh_->data_index());
    }
    case Placement::Kind::kSplit:
      return local_part(tensor).shape.num_elements() > 0;
  }
  return false;
}

}  // namespace finescale
