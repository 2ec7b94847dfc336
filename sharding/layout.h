// SPDX-License-Identifier: Apache-2.0
// Logical tensors, a name and a shape that know nothing of ranks, and the algebra that says which
// part of one a rank of the tensor axis holds. Pure functions; the shard axis cuts flat ranges
// (ShardPlan), and the data axis cuts nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace finescale {

struct MeshCoord {
  int data = 0;
  int shard = 0;
  int tensor = 0;
  int pipeline = 0;
};

// How the tensor axis of the mesh cuts a logical tensor.
struct Placement {
  enum class Kind { kReplicated, kSplit };
  Kind kind = Kind::kReplicated;
  int dim = 0;    // kSplit: along this dimension
  int parts = 0;  // kSplit: how many different parts; 0: as many as ranks. Fewer (key and value
                  // heads): neighbouring ranks hold the same part
};

struct LogicalTensor {
  std::string name;  // model.layers.0.self_attn.q_proj.weight
  Shape shape;       // logical, whole
  Placement placement;
  bool trainable = true;
};

// A hyperslab of a logical tensor.
struct LocalPart {
  Shape offset;
  Shape shape;
};

// What rank `tensor_rank` of `tensor_size` holds. Parts are equal: a dimension that the parts do
// not divide, or parts that do not divide the ranks, are refused when a mesh is planned.
[[nodiscard]] LocalPart local_part(const LogicalTensor& tensor, int tensor_rank, int tensor_size);
// Ranks of the tensor axis that hold the same part, and whether this is the first of them: the one
// that counts in norms and writes checkpoints.
[[nodiscard]] int copies(const LogicalTensor& tensor, int tensor_size);
[[nodiscard]] bool is_first_copy(const LogicalTensor& tensor, int tensor_rank, int tensor_size);
// Elements [begin, end) of the local part, row-major, as hyperslabs of the logical tensor in the
// same order: at most 2 rank - 1, so three for a matrix (the end of a row, whole rows, the
// beginning of a row).
[[nodiscard]] std::vector<LocalPart> hyperslabs_of(const LocalPart& part, std::int64_t begin,
                                                   std::int64_t end);

}  // namespace finescale
