// SPDX-License-Identifier: Apache-2.0
// The axes of a gang's ranks and the groups along them. Rank = ((pipeline * T + tensor) * S +
// shard)
// * D + data: the data axis is innermost. Axes of size 1 cost nothing.
#pragma once

#include <memory>
#include <string>

#include "comm/group.h"
#include "sharding/layout.h"

namespace finescale {

struct MeshShape {
  int data = 1;
  int shard = 1;
  int tensor = 1;
  int pipeline = 1;
  [[nodiscard]] int num_ranks() const noexcept { return data * shard * tensor * pipeline; }
};

// Of rank `rank` of the world.
[[nodiscard]] MeshCoord coord_of(const MeshShape& shape, int rank) noexcept;
[[nodiscard]] int rank_of(const MeshShape& shape, const MeshCoord& coord) noexcept;

class Mesh {
 public:
  // Throws kConfig when the sizes do not multiply to world.size(). Collective over world.
  Mesh(Group& world, const MeshShape& shape);

  [[nodiscard]] const MeshShape& shape() const noexcept { return shape_; }
  [[nodiscard]] const MeshCoord& coord() const noexcept { return coord_; }
  [[nodiscard]] Group& world() const noexcept { return *world_; }
  // The ranks that differ from this one in the named axis only; rank() is the index on the axis.
  [[nodiscard]] Group& data() const noexcept { return *data_; }
  [[nodiscard]] Group& shard() const noexcept { return *shard_; }
  [[nodiscard]] Group& tensor() const noexcept { return *tensor_; }
  [[nodiscard]] Group& pipeline() const noexcept { return *pipeline_; }
  // data x shard: the ranks that hold the same parameters and split the batch. Index shard * D +
  // data.
  [[nodiscard]] Group& replica() const noexcept { return *replica_; }
  [[nodiscard]] int data_index() const noexcept { return coord_.data; }

 private:
  MeshShape shape_;
  MeshCoord coord_;
  Group* world_;
  std::unique_ptr<Group> data_;
  std::unique_ptr<Group> shard_;
  std::unique_ptr<Group> replica_;
  std::unique_ptr<Group> tensor_;
  std::unique_ptr<Group> pipeline_;
};

}  // namespace finescale
