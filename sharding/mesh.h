// SPDX-License-Identifier: Apache-2.0
// The axes of a gang's ranks. Rank = ((pipeline * tensor + t) * shard + s) * data + d; size-1 axes
// cost nothing.
#pragma once

#include <memory>
#include <string>

#include "comm/group.h"

namespace finescale {

struct MeshShape {
  int data = 1;
  int shard = 1;
  int tensor = 1;
  int pipeline = 1;
  [[nodiscard]] int num_ranks() const noexcept { return data * shard * tensor * pipeline; }
};

class Mesh {
 public:
  // Collective over world; throws kConfig when the sizes do not multiply to world.size().
  Mesh(Group& world, const MeshShape& shape);

  [[nodiscard]] const MeshShape& shape() const noexcept { return shape_; }
  [[nodiscard]] Group& world() const noexcept { return *world_; }
  [[nodiscard]] Group& data() const noexcept { return *data_; }
  [[nodiscard]] int data_index() const noexcept { return data_->rank(); }

 private:
  MeshShape shape_;
  Group* world_;
  std::unique_ptr<Group> data_;
};

}  // namespace finescale
