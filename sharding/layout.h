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

struct LogicalTensor {
  std::string name;  // model.layers.0.self_attn.q_proj.weight
  Shape shape;       // logical, whole
  bool trainable = true;
};

// How an axis of the mesh cuts a tensor. This version places every tensor whole on every rank
// (replicated); the other placements arrive with the mesh axes and change neither model code nor
// checkpoints.
struct Placement {
  enum class Kind { kReplicated, kSplit };
  Kind kind = Kind::kReplicated;
  int tensor_axis = 0;  // for kSplit: which axis of the tensor
};

// The part of a logical tensor that this rank holds: a hyperslab.
struct LocalPart {
  Shape offset;
  Shape shape;
};

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
