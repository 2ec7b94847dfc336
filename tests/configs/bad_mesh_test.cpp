// SPDX-License-Identifier: Apache-2.0
// What a user sees for a mesh that cannot be.
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/configs/bad_yaml_fixture.h"

namespace finescale {
namespace {

// The preset tiny: 4 heads, 4 key/value heads, 2 layers, width 64, feed-forward 192, vocabulary
// 512.
TEST_F(BadYaml, MeshesThatTheModelForbids) {
  expect({
      {16, "mesh: {tensor: 3}",
       "sweep.yaml:16:16: mesh.tensor is 3, but the model has 4 attention heads: use 1, 2 or 4"},
      {16, "mesh: {tensor: 8}",
       "sweep.yaml:16:16: mesh.tensor is 8, but the model has 4 attention heads: use 1, 2 or 4"},
      {16, "mesh: {pipeline: 3}",
       "sweep.yaml:16:18: mesh.pipeline is 3, but the model has 2 layers: use at most 2"},
      {16, "mesh: {data: 2, zero: 1}",
       "sweep.yaml:16:23: mesh.zero is 1, but mesh.shard is 1: use zero 0, or give shard > 1"},
      {16, "mesh: {zero: 4}", "sweep.yaml:16:14: mesh.zero is 4, must be >= 0 and <= 3"},
      {16, "mesh: auto\nresources: {ranks_per_gang: 0}",
       "sweep.yaml:17:29: resources.ranks_per_gang is 0, must be >= 1 and <= 65536"},
      {16, "mesh: {choice: auto, shard: 2}\nresources: {ranks_per_gang: 3}",
       "sweep.yaml:17:29: resources.ranks_per_gang is 3, must be a multiple of the ranks that the "
       "mesh gives (2)"},
      {16, "mesh: 4", "sweep.yaml:16:7: mesh is \"4\", must be one of given, auto"},
      {16, "resources: {memory_per_rank: 8XB}",
       "sweep.yaml:16:30: resources.memory_per_rank is \"8XB\", must be a positive number of "
       "bytes, or one with KiB, MiB, GiB or TiB"},
  });
}

TEST_F(BadYaml, TheNearestLegalMeshIsTheHint) {
  try {
    (void)load(with_line(16, "mesh: {data: 2, tensor: 3}"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.hint(), "nearest mesh of 6 ranks: {data: 3, tensor: 2}");
  }
}

}  // namespace
}  // namespace finescale
