// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan_mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "configs/canonical.h"
#include "configs/parse.h"
#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

class PlanMesh : public SweepTest {
 protected:
  // A worker that lays everything out over two data ranks, and says what four shards would need.
  static std::string answer(bool fits) {
    config::Mesh mesh;
    mesh.set_data(2);
    const nlohmann::json rows = {
        {{"data", 2},
         {"shard", 1},
         {"tensor", 1},
         {"pipeline", 1},
         {"zero", 0},
         {"recompute", "none"},
         {"overlap", "off"},
         {"verdict", fits ? "chosen" : "too_large"},
         {"reason", fits ? "" : "does not fit: 2.00 GiB of 1.00 GiB"},
         {"memory_bytes", 2147483648},
         {"step_seconds", 0.25},
         {"communication_share", 0.125}},
        {{"data", 1},
         {"shard", 2},
         {"tensor", 1},
         {"pipeline", 1},
         {"zero", 3},
         {"recompute", "full"},
         {"overlap", "on"},
         {"verdict", "slower"},
         {"reason", "1.50 x the time"},
         {"memory_bytes", 1048576},
         {"step_seconds", 1.5},
         {"communication_share", 0.5}},
        {{"data", 1},
         {"shard", 1},
         {"tensor", 2},
         {"pipeline", 1},
         {"zero", 0},
         {"recompute", "none"},
         {"overlap", "off"},
         {"verdict", "illegal"},
         {"reason", "mesh.tensor is 2, but the model has 3 attention heads: use 1 or 3"}}};
    return nlohmann::json{{"mesh",
                           {{"mesh", canonical_text(mesh)},
                            {"fits", fits},
                            {"machine", {{"memory_per_rank", 1e9}}},
                            {"rows", rows}}}}
        .dump();
  }
};

TEST_F(PlanMesh, TheTableMarksTheChosenOneAndSaysWhyNotTheOthers) {
  const MeshPlan plan = parse_mesh_plan(nlohmann::json::parse(answer(true)));
  EXPECT_EQ(
      mesh_table_text(plan),
      "  meshes    mesh      levers                           memory      step      comm.\n"
      "         -> data 2                                     2.00 GiB    250 ms    12%   chosen\n"
      "            shard 2   ZeRO-3, recompute full, overlap  1 MiB       1.5 s     50%   1.50 x "
      "the time\n"
      "            tensor 2\n"
      "              mesh.tensor is 2, but the model has 3 attention heads: use 1 or 3\n");
}

TEST_F(PlanMesh, TheTableIsNeverWiderThanAHundredColumns) {
  MeshPlan plan;
  PlannedMesh row;
  row.mesh = "data 128 x shard 64 x tensor 8 x pipeline 16";
  row.levers = "ZeRO-1, recompute selective, overlap, interleave 2";
  row.is_legal = true;
  row.memory_bytes = 999e6;
  row.step_seconds = 0.123;
  row.communication_share = 1;
  row.reason = "10.25 x the time";
  plan.rows = {row};
  EXPECT_EQ(mesh_table_text(plan),
            "  meshes    mesh                    levers                        memory      step    "
            "  comm.\n"
            "            data 128 x shard 64 x   ZeRO-1, recompute selective,  953 MiB     123 ms  "
            "  100%\n"
            "            tensor 8 x pipeline 16  overlap, interleave 2\n"
            "              10.25 x the time\n");
}

TEST_F(PlanMesh, AutoBecomesAConcreteMesh) {
  config::Sweep sweep = load(valid() + "mesh: auto\nresources: {ranks_per_gang: 2}\n");
  nlohmann::json asked;
  settle_sweep_mesh(sweep, [&](const std::string& request) {
    asked = nlohmann::json::parse(request);
    return answer(true);
  });
  EXPECT_EQ(asked.at("ranks"), 2);
  EXPECT_EQ(asked.at("measure"), false);
  EXPECT_EQ(sweep.mesh().data(), 2);
  EXPECT_EQ(sweep.mesh().choice(), config::MESH_CHOICE_GIVEN);
}

TEST_F(PlanMesh, AStatedLimitRefuses) {
  config::Sweep sweep = load(valid() + "mesh: {data: 2}\nresources: {memory_per_rank: 1GiB}\n");
  double limit = 0;
  try {
    settle_sweep_mesh(sweep, [&](const std::string& request) {
      limit = nlohmann::json::parse(request).at("memory_per_rank").get<double>();
      return answer(false);
    });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_EQ(error.message(), "no mesh of 2 ranks fits: does not fit: 2.00 GiB of 1.00 GiB");
  }
  EXPECT_EQ(limit, 1073741824);
}

TEST_F(PlanMesh, WithoutAutoOrLimitNobodyIsAsked) {
  config::Sweep sweep = load(valid() + "mesh: {data: 2}\n");
  settle_sweep_mesh(sweep, [](const std::string&) -> std::string { throw 1; });
  EXPECT_EQ(sweep.mesh().data(), 2);
}

TEST_F(PlanMesh, LaterErrorsFindTheirPlaceInTheFile) {
  write("sweep.yaml", valid() + "mesh: {data: 2}\n");
  EXPECT_EQ(written_at("sweep.yaml", "mesh.data"), "sweep.yaml:17:14");
  EXPECT_EQ(written_at("sweep.yaml", "mesh.tensor"), "sweep.yaml:17:7");
  EXPECT_EQ(written_at("sweep.yaml", "resources.device"), "sweep.yaml");
}

}  // namespace
}  // namespace finescale
