// SPDX-License-Identifier: Apache-2.0
#include "sharding/mesh.h"

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/error.h"
#include "sharding/layout.h"

namespace finescale {
namespace {

TEST(Mesh, DataAxisIsTheWorld) {
  run_local_ranks(3, [](Group& world) {
    const Mesh mesh(world, MeshShape{.data = 3});
    EXPECT_EQ(mesh.data().size(), 3);
    EXPECT_EQ(mesh.data_index(), world.rank());
  });
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
}

TEST(Layout, ReplicatedIsWholeAndWrittenOnce) {
  run_local_ranks(3, [](Group& world) {
    const Mesh mesh(world, MeshShape{.data = 3});
    const Layout layout(mesh, Placement{});
    const LogicalTensor tensor{"w", Shape{5, 4}, {}, true};
    EXPECT_EQ(layout.local_part(tensor).shape, (Shape{5, 4}));
    EXPECT_EQ(layout.local_part(tensor).offset, (Shape{0, 0}));
    EXPECT_EQ(world.sum(layout.writes(tensor) ? 1 : 0), 1);
    std::int64_t mine = 0;  // of many large tensors every rank writes some
    for (int layer = 0; layer < 64; ++layer) {
      const LogicalTensor large{std::to_string(layer), Shape{1024, 1024}, {}, true};
      EXPECT_EQ(world.sum(layout.writes(large) ? 1 : 0), 1);
      mine += layout.writes(large) ? 1 : 0;
    }
    EXPECT_GT(mine, 8);
  });
}

TEST(Layout, SplitPartsTileTheTensor) {
  run_local_ranks(4, [](Group& world) {
    const Mesh mesh(world, MeshShape{.data = 4});
    const Layout layout(mesh, Placement{Placement::Kind::kSplit, 1});
    const LogicalTensor tensor{"w", Shape{3, 10}, {}, true};
    const LocalPart part = layout.local_part(tensor);
    EXPECT_EQ(part.shape[0], 3);
    EXPECT_EQ(part.offset[0], 0);
    EXPECT_EQ(part.offset[1], 10 * world.rank() / 4);
    EXPECT_EQ(world.sum(part.shape.num_elements()), 30);
  });
}

}  // namespace
}  // namespace finescale
