// SPDX-License-Identifier: Apache-2.0
// Logical parameters: a name and a shape that know nothing of ranks, and the layout that says which
// part lives here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "sharding/mesh.h"

namespace finescale {

struct Placement {  // how the tensor axis cuts a logical tensor
  enum class Kind { kReplicated, kSplit };
  Kind kind = Kind::kReplicated;
  int dim = 0;    // kSplit: along this dimension of the tensor
  int parts = 0;  // kSplit: how many different parts; fewer than ranks: neighbours share one. 0:
                  // one part per rank
};

struct LogicalTensor {
  std::string name;  // model.layers.0.self_attn.q_proj.weight
  Shape shape;       // logical, whole
  Placement placement;
  bool trainable = true;
};

// The part of a logical tensor that this rank holds: a hyperslab.
struct LocalPart {
  Shape offset;
  Shape shape;
};

// kSplit: equal parts.
[[nodiscard]] LocalPart local_part(const LogicalTensor& tensor, int tensor_rank, int tensor_size);
// Ranks of the tensor group that hold the same part: neighbours.
[[nodiscard]] int copies(const LogicalTensor& tensor, int tensor_size);
[[nodiscard]] bool is_first_copy(const LogicalTensor& tensor, int tensor_rank, int tensor_size);

class Layout {
 public:
  Layout(const Mesh& mesh, Placement placement) noexcept : mesh_(&mesh), placement_(placement) {}
  [[nodiscard]] LocalPart local_part(const LogicalTensor& tensor) const;
  // Whether this rank is the one that writes its part to a checkpoint (one writer per element).
  [[nodiscard]] bool writes(const LogicalTensor& tensor) const;

 private:
  const Mesh* mesh_;
  Placement placement_;
};

}  // namespace finescale
