// SPDX-License-Identifier: Apache-2.0
#include "sharding/mesh.h"

#include "core/error.h"

namespace finescale {

MeshCoord coord_of(const MeshShape& shape, int rank) noexcept {
  MeshCoord coord;
  coord.data = rank % shape.data;
  rank /= shape.data;
  coord.shard = rank % shape.shard;
  rank /= shape.shard;
  coord.tensor = rank % shape.tensor;
  coord.pipeline = rank / shape.tensor;
  return coord;
}

int rank_of(const MeshShape& shape, const MeshCoord& coord) noexcept {
  return ((coord.pipeline * shape.tensor + coord.tensor) * shape.shard + coord.shard) * shape.data +
         coord.data;
}

Mesh::Mesh(Group& world, const MeshShape& shape) : shape_(shape), world_(&world) {
  if (shape.data < 1 || shape.shard < 1 || shape.tensor < 1 || shape.pipeline < 1 ||
      shape.num_ranks() != world.size()) {
    throw Error(ErrorKind::kConfig,
                "mesh data " + std::to_string(shape.data) + " x shard " +
                    std::to_string(shape.shard) + " x tensor " + std::to_string(shape.tensor) +
                    " x pipeline " + std::to_string(shape.pipeline) + " has " +
                    std::to_string(shape.num_ranks()) + " ranks, the gang has " +
                    std::to_string(world.size()),
                "mesh", "make the product of the axes the number of ranks of a gang");
  }
  coord_ = coord_of(shape, world.rank());
  // Color: the smallest rank of the group, which is the one with index 0 on the axes it spans.
  const auto along = [&](const char* name, bool data, bool shard, bool tensor, bool pipeline) {
    MeshCoord first = coord_;
    first.data = data ? 0 : first.data;
    first.shard = shard ? 0 : first.shard;
    first.tensor = tensor ? 0 : first.tensor;
    first.pipeline = pipeline ? 0 : first.pipeline;
    return world.split(rank_of(shape, first), world.rank(), name);
  };
  data_ = along("data", true, false, false, false);
  shard_ = along("shard", false, true, false, false);
  replica_ = along("replica", true, true, false, false);
  tensor_ = along("tensor", false, false, true, false);
  pipeline_ = along("pipeline", false, false, false, true);
}

}  // namespace finescale
