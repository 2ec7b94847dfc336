// SPDX-License-Identifier: Apache-2.0
// A base in the files of another program, each rank reading its part: the same bits on every mesh.
#include "tests/comm/mpi_main.h"
#include "tests/import/hf_fixture.h"
#include "tests/worker/stage_fixture.h"
#include "worker/import/open_model.h"

namespace finescale {
namespace {

class HfBase : public StageTest {
 protected:
  void SetUp() override {
    StageTest::SetUp();
    if (world_->rank() == 0) {
      TinyModel{tiny_llama(false), StoredType::kBf16, 8000}.write(directory_ + "/model");
    }
    world_->barrier();
  }

  [[nodiscard]] TrialStages stages(const std::string& method, const std::string& mesh, int ranks) {
    const std::string path = directory_ + "/run-" + std::to_string(world_->rank()) + ".yaml";
    write_file_atomically(path, R"(name: files
base: {model: model}
data:
  train: train.jsonl
  eval: [{name: held_out, path: eval.jsonl}]
  max_length: 64
trial:
  stages:
    - evaluate: {metrics: [loss]}
    - train: {method: )" + method +
                                    R"(, steps: 4, learning_rate: 3e-3, batch: {examples: 12},
              micro_batch_tokens: 64, weight_decay: 0.01, eval_every: 2}
    - evaluate: {metrics: [loss, exact_match], limit: 8, max_new_tokens: 8}
mesh: )" + mesh + "\nresources: {ranks_per_gang: " +
                                    std::to_string(ranks) + "}\n");
    return expand_run(load_run(path, {}), [](const std::string& file) { return hash_file(file); });
  }

  void expect_equal_to_one_rank(const std::string& method, const std::string& mesh) {
    std::vector<Outcome> alone;
    const TrialStages one = stages(method, "{data: 1}", 1);
    if (world_->rank() == 0) {
      alone = run_all(*single_, one, directory_ + "/alone", 1);
    }
    world_->barrier();
    const TrialStages trial = stages(method, mesh, world_->size());
    for (std::size_t i = 0; i < trial.stages.size(); ++i) {
      EXPECT_EQ(trial.stages[i].key(), one.stages[i].key());
    }
    const std::vector<Outcome> together = run_all(*world_, trial, directory_ + "/together", 1);
    if (world_->rank() == 0) {
      ASSERT_EQ(alone.size(), 3U);
      for (std::size_t i = 0; i < alone.size(); ++i) {
        EXPECT_TRUE(alone[i] == together[i]) << mesh << ", stage " << i;
      }
      EXPECT_FALSE(alone[1].tensors.empty());
    }
    world_->barrier();
  }

  // Meshes of this many ranks, by how they hold the weights.
  [[nodiscard]] std::vector<std::string> meshes() const {
    switch (world_->size()) {
      case 1:
        return {"{data: 1}"};
      case 2:
        return {"{data: 2}", "{shard: 2, zero: 3}", "{pipeline: 2}"};
      default:
        return {"{data: 4}", "{shard: 4, zero: 3}", "{shard: 2, zero: 3, pipeline: 2}"};
    }
  }
};

TEST_F(HfBase, FullIsTheBitsOfOneRank) {
  for (const std::string& mesh : meshes()) {
    expect_equal_to_one_rank("full", mesh);
    if (world_->rank() == 0) {
      std::filesystem::remove_all(directory_ + "/together");
    }
    world_->barrier();
  }
}

TEST_F(HfBase, LoraIsTheBitsOfOneRank) {
  expect_equal_to_one_rank("{lora: {rank: 4}}", meshes().back());
}

TEST_F(HfBase, OtherWeightsAreAnotherStage) {
  const TrialStages before = stages("full", "{data: 1}", 1);
  world_->barrier();
  if (world_->rank() == 0) {
    std::filesystem::remove_all(directory_ + "/model");
    TinyModel{tiny_llama(false), StoredType::kBf16, 8000, 8}.write(directory_ + "/model");
  }
  world_->barrier();
  const TrialStages after = stages("full", "{data: 1}", 1);
  for (std::size_t i = 0; i < before.stages.size(); ++i) {
    EXPECT_NE(before.stages[i].key(), after.stages[i].key());
  }
}

// The tensor axis cuts rows and columns: what each rank has read is its part.
TEST_F(HfBase, TensorRanksReadTheirPart) {
  if (world_->size() != 2) {
    GTEST_SKIP() << "two ranks";
  }
  Mesh mesh(*world_, MeshShape{.tensor = 2});
  Engine engine;
  engine.mesh = &mesh;
  OpenedModel opened = open_model(directory_ + "/model");
  BaseModel model = make_base_model(engine, opened.config, DType::kF32);
  read_base(*opened.weights, model);
  const BasePiece& piece = *model.pieces.front();
  for (int index = 0; index < piece.weights.size(); ++index) {
    const LocalPart& part = piece.weights.part(index);
    std::vector<float> expected(static_cast<std::size_t>(part.shape.num_elements()));
    opened.weights->read(piece.weights.tensor(index).name, part,
                         TensorView(expected.data(), DType::kF32, Shape{std::ssize(expected)}));
    const TensorView held = piece.weights.view_in(piece.store.blocks(), index);
    for (std::int64_t i = 0; i < held.num_elements(); ++i) {
      ASSERT_EQ(held.as<float>()[i], expected[static_cast<std::size_t>(i)])
          << piece.weights.tensor(index).name;
    }
  }
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run_mpi_tests(argc, argv, 120);
}
