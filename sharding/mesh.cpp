// SPDX-License-Identifier: Apache-2.0
#include "sharding/mesh.h"

#include "core/error.h"

namespace finescale {

Mesh::Mesh(Group& world, const MeshShape& shape) : shape_(shape), world_(&world) {
  if (shape.data < 1 || shape.shard < 1 || shape.tensor < 1 || shape.pipeline < 1 ||
      shape.num_ranks() != world.size()) {
    throw Error(ErrorKind::kConfig,
                "mesh data " + std::to_string(shape.data) + " x shard " +
                    std::to_string(shape.shard) + " x tensor " + std::to_string(shape.tensor) +
                    " x pipeline " + std::to_string(shape.pipeline) +
                    " is not the number of ranks, " + std::to_string(world.size()),
                "mesh", "set mesh.data to the number of ranks of a gang");
  }
  if (shape.num_ranks() != shape.data) {
    // Ranks of an axis that nothing communicates over would silently repeat each other's work.
    throw Error(ErrorKind::kConfig, "this version shards over the data axis only", "mesh",
                "set shard, tensor and pipeline to 1");
  }
  data_ = world.split(world.rank() / shape.data, world.rank() % shape.data);
}

}  // namespace finescale
