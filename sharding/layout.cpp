// SPDX-License-Identifier: Apache-2.0
#include "sharding/layout.h"

#include <algorithm>

#include "core/error.h"

namespace finescale {

namespace {

int num_parts(const LogicalTensor& tensor, int tensor_size) {
  switch (tensor.placement.kind) {
    case Placement::Kind::kReplicated:
      return 1;
    case Placement::Kind::kSplit:
      return tensor.placement.parts == 0 ? tensor_size : tensor.placement.parts;
  }
  return 1;
}

// Appends elements [begin, end) of the block whose first `axis` coordinates are fixed in `at`.
void append_slabs(const LocalPart& part, Shape at, int axis, std::int64_t begin, std::int64_t end,
                  std::vector<LocalPart>& slabs) {
  if (begin >= end) {
    return;
  }
  std::int64_t row = 1;  // elements below one index of this axis
  for (int inner = axis + 1; inner < part.shape.rank; ++inner) {
    row *= part.shape[inner];
  }
  const auto here = static_cast<std::size_t>(axis);
  const auto whole_rows = [&](std::int64_t first, std::int64_t last) {
    LocalPart slab{at, part.shape};
    for (int outer = 0; outer < axis; ++outer) {
      slab.shape.dims[static_cast<std::size_t>(outer)] = 1;
    }
    slab.offset.dims[here] = part.offset[axis] + first;
    slab.shape.dims[here] = last - first;
    slabs.push_back(slab);
  };
  const auto inside_row = [&](std::int64_t index, std::int64_t from, std::int64_t to) {
    Shape inner = at;
    inner.dims[here] = part.offset[axis] + index;
    append_slabs(part, inner, axis + 1, from, to, slabs);
  };
  std::int64_t first = begin / row;
  const std::int64_t last = end / row;
  if (begin % row != 0) {
    inside_row(first, begin % row, std::min(row, end - first * row));
    ++first;
  }
  if (first < last) {
    whole_rows(first, last);
  }
  if (end % row != 0 && last >= first) {
    inside_row(last, 0, end % row);
  }
}

}  // namespace

LocalPart local_part(const LogicalTensor& tensor, int tensor_rank, int tensor_size) {
  LocalPart part{tensor.shape, tensor.shape};
  part.offset.dims = {};
  const int parts = num_parts(tensor, tensor_size);
  if (tensor.placement.kind == Placement::Kind::kReplicated) {
    return part;
  }
  const int dim = tensor.placement.dim;
  FS_CHECK(dim >= 0 && dim < tensor.shape.rank, "no such dimension in " + tensor.name);
  FS_CHECK(tensor_size % parts == 0 && tensor.shape[dim] % parts == 0,
           tensor.name + " " + tensor.shape.text() + " in " + std::to_string(parts) + " parts on " +
               std::to_string(tensor_size) + " ranks");
  const auto axis = static_cast<std::size_t>(dim);
  part.shape.dims[axis] = tensor.shape[dim] / parts;
  part.offset.dims[axis] = part.shape[dim] * (tensor_rank / copies(tensor, tensor_size));
  return part;
}

int copies(const LogicalTensor& tensor, int tensor_size) {
  return tensor_size / num_parts(tensor, tensor_size);
}

bool is_first_copy(const LogicalTensor& tensor, int tensor_rank, int tensor_size) {
  return tensor_rank % copies(tensor, tensor_size) == 0;
}

std::vector<LocalPart> hyperslabs_of(const LocalPart& part, std::int64_t begin, std::int64_t end) {
  FS_CHECK(begin >= 0 && end <= part.shape.num_elements(), "elements outside of the part");
  std::vector<LocalPart> slabs;
  append_slabs(part, part.offset, 0, begin, end, slabs);
  return slabs;
}

}  // namespace finescale
