// SPDX-License-Identifier: Apache-2.0
#include "sharding/mesh.h"

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/error.h"

namespace finescale {
namespace {

std::vector<MeshShape> shapes_of(int ranks) {
  std::vector<MeshShape> shapes;
  for (int data = 1; data <= ranks; ++data) {
    for (int shard = 1; data * shard <= ranks; ++shard) {
      for (int tensor = 1; data * shard * tensor <= ranks; ++tensor) {
        if (ranks % (data * shard * tensor) == 0) {
          shapes.push_back({data, shard, tensor, ranks / (data * shard * tensor)});
        }
      }
    }
  }
  return shapes;
}

TEST(Mesh, RanksAndCoordinatesAreInverse) {
  for (int ranks = 1; ranks <= 24; ++ranks) {
    for (const MeshShape& shape : shapes_of(ranks)) {
      for (int rank = 0; rank < ranks; ++rank) {
        const MeshCoord coord = coord_of(shape, rank);
        EXPECT_EQ(rank_of(shape, coord), rank);
        EXPECT_EQ(rank,
                  ((coord.pipeline * shape.tensor + coord.tensor) * shape.shard + coord.shard) *
                          shape.data +
                      coord.data);
        EXPECT_TRUE(coord.data < shape.data && coord.shard < shape.shard &&
                    coord.tensor < shape.tensor && coord.pipeline < shape.pipeline);
      }
    }
  }
}

// The world ranks of a group, in the group's order.
std::vector<std::int64_t> members(Group& group, const Group& world) {
  std::vector<std::int64_t> ranks(static_cast<std::size_t>(group.size()));
  std::vector<std::size_t> offsets;
  for (int rank = 0; rank <= group.size(); ++rank) {
    offsets.push_back(static_cast<std::size_t>(rank) * sizeof(std::int64_t));
  }
  const std::int64_t mine = world.rank();
  group.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(ranks)),
                   offsets);
  return ranks;
}

TEST(Mesh, EveryGroupSpansItsAxes) {
  for (const int ranks : {1, 2, 6, 8}) {
    run_local_ranks(ranks, [&](Group& world) {
      for (const MeshShape& shape : shapes_of(ranks)) {
        const Mesh mesh(world, shape);
        const MeshCoord me = mesh.coord();
        const auto expect = [&](Group& group, int size, int index, auto&& member) {
          ASSERT_EQ(group.size(), size);
          ASSERT_EQ(group.rank(), index);
          const auto seen = members(group, world);
          for (int i = 0; i < size; ++i) {
            MeshCoord coord = me;
            member(coord, i);
            ASSERT_EQ(seen[static_cast<std::size_t>(i)], rank_of(shape, coord));
          }
        };
        expect(mesh.data(), shape.data, me.data, [](MeshCoord& c, int i) { c.data = i; });
        expect(mesh.shard(), shape.shard, me.shard, [](MeshCoord& c, int i) { c.shard = i; });
        expect(mesh.tensor(), shape.tensor, me.tensor, [](MeshCoord& c, int i) { c.tensor = i; });
        expect(mesh.pipeline(), shape.pipeline, me.pipeline,
               [](MeshCoord& c, int i) { c.pipeline = i; });
        expect(mesh.replica(), shape.data * shape.shard, me.shard * shape.data + me.data,
               [&](MeshCoord& c, int i) {
                 c.data = i % shape.data;
                 c.shard = i / shape.data;
               });
      }
    });
  }
}

TEST(Mesh, RefusesSizesThatAreNotTheRanks) {
  const auto world = make_single_group();
  for (const MeshShape shape :
       {MeshShape{.data = 2}, MeshShape{.data = 0}, MeshShape{.data = -1, .shard = -1}}) {
    try {
      const Mesh mesh(*world, shape);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    }
  }
  try {
    const Mesh mesh(*world, {.data = 2, .shard = 3, .tensor = 1, .pipeline = 4});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(),
              "mesh data 2 x shard 3 x tensor 1 x pipeline 4 has 24 ranks, the gang has 1");
  }
}

}  // namespace
}  // namespace finescale
