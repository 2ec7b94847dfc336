// SPDX-License-Identifier: Apache-2.0
// Every mesh trains the same run: one resident job of eight ranks trains each case on a part of
// itself, and one rank trains it alone. Data, shard (ZeRO 0 to 3), pipeline, recomputation and
// overlap give the same bits; the tensor axis has bits of its own, the same on every other axis,
// and is one rank's run to rounding.
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <span>

#include "core/error.h"
#include "core/file_memory.h"
#include "tests/comm/mpi_main.h"
#include "tests/worker/mesh_fixture.h"

namespace finescale {
namespace {

// Every factorisation of 2, 4 and 8 ranks, the levers going round; sharded ones at every stage.
std::vector<MeshCase> cases() {
  const std::string recompute[] = {"none", "selective", "full"};
  std::vector<MeshCase> all;
  int turn = 0;
  for (const int ranks : {2, 4, 8}) {
    for (int tensor = 1; tensor <= std::min(ranks, 4); tensor *= 2) {
      for (int pipeline = 1; pipeline <= std::min(ranks / tensor, 4); pipeline *= 2) {
        for (int shard = 1; shard <= ranks / tensor / pipeline; shard *= 2) {
          for (int zero = shard > 1 ? 1 : 0; zero <= (shard > 1 ? 3 : 0); ++zero) {
            MeshCase c;
            c.data = ranks / tensor / pipeline / shard;
            c.shard = shard;
            c.tensor = tensor;
            c.pipeline = pipeline;
            c.zero = zero;
            c.recompute = recompute[turn % 3];
            c.overlap = turn % 2 == 1 ? "on" : "off";
            c.interleave = pipeline == 2 && turn % 4 < 2 ? 2 : 1;
            all.push_back(c);
            ++turn;
          }
        }
      }
    }
  }
  return all;
}

class MeshGolden : public MeshTest {
 protected:
  // Each variant's run on the least ranks of equal tensor size, and on every mesh; the variants
  // take turns.
  void expect_runs_of_one_rank(const std::vector<MeshCase>& all, const MeshRun& run,
                               std::span<const Variant> variants = kVariants);

  int next_ = 0;
};

// What a case must say of itself; nothing overlaps on one replica.
std::string record_of(MeshCase c) {
  if (c.data * c.shard == 1) {
    c.overlap = "off";
  }
  return c.text();
}

void MeshGolden::expect_runs_of_one_rank(const std::vector<MeshCase>& all, const MeshRun& run,
                                         std::span<const Variant> variants) {
  std::map<std::string, std::pair<Outcome, std::string>> alone;  // by variant and tensor size
  int turn = 0;
  for (const MeshCase& c : all) {
    const Variant& variant = variants[static_cast<std::size_t>(turn++) % variants.size()];
    const std::string name = variant.name + " x" + std::to_string(c.tensor);
    auto [reference, is_new] = alone.try_emplace(name);
    if (is_new) {
      MeshCase one;
      one.tensor = c.tensor;
      reference->second.second = directory_ + "/alone-" + std::to_string(next_++);
      reference->second.first =
          train(stages(variant, one, run), c.tensor, reference->second.second);
    }
    const TrialStages trial = stages(variant, c, run);
    const std::string where = directory_ + "/case";
    copy_inputs(trial, reference->second.second, where);
    const Outcome got = train(trial, c.ranks(), where);
    if (world_->rank() == 0) {
      EXPECT_FALSE(got.tensors.empty());
      EXPECT_TRUE(got == reference->second.first) << variant.name << " on " << c.text();
      EXPECT_NE(got.environment.find("mesh=" + record_of(c)), std::string::npos)
          << c.text() << " ran as " << got.environment;
      std::filesystem::remove_all(where);
    }
    world_->barrier();
  }
  if (world_->rank() == 0) {
    std::cout << all.size() << " meshes\n";
  }
}

TEST_F(MeshGolden, EveryMeshIsTheRunOfOneRank) {
  expect_runs_of_one_rank(cases(), {});
}

TEST_F(MeshGolden, OtherFamiliesAreTheRunOfOneRank) {
  MeshRun run;
  run.steps = 6;
  for (const Variant& variant : kFamilies) {
    expect_runs_of_one_rank(
        {{.shard = 4, .zero = 2, .recompute = "selective", .overlap = "on"},
         {.shard = 2, .pipeline = 2, .zero = 3, .recompute = "full", .interleave = 2},
         {.data = 2, .tensor = 2, .pipeline = 2, .recompute = "selective"}},
        run, std::span(&variant, 1));
  }
}

TEST_F(MeshGolden, PackedMomentsAreTheRunOfOneRank) {
  for (const std::string state : {"bf16", "int8"}) {
    MeshRun run;
    run.optimizer_state = state;
    expect_runs_of_one_rank({{.data = 4},
                             {.data = 2, .shard = 2, .zero = 1},
                             {.shard = 4, .zero = 2},
                             {.shard = 8, .zero = 3},
                             {.data = 2, .pipeline = 4},
                             {.shard = 2, .pipeline = 2, .zero = 3},
                             {.data = 2, .tensor = 2},
                             {.shard = 2, .tensor = 2, .zero = 1},
                             {.shard = 2, .tensor = 2, .pipeline = 2, .zero = 2},
                             {.tensor = 4, .pipeline = 2}},
                            run);
  }
}

TEST_F(MeshGolden, MomentsInAFileAreTheRunOfOneRank) {
  try {
    const FileMemory probe(default_scratch_directory(), 1);
  } catch (const Error& error) {
    GTEST_SKIP() << describe(error);
  }
  for (const std::string state : {"full", "bf16", "int8"}) {
    MeshRun run;
    run.optimizer_state = state;
    expect_runs_of_one_rank({{.offload = "disk"},
                             {.shard = 4, .zero = 2, .offload = "disk"},
                             {.shard = 2, .pipeline = 2, .zero = 3, .offload = "disk"},
                             {.shard = 2, .tensor = 2, .zero = 1, .offload = "disk"}},
                            run);
  }
}

TEST_F(MeshGolden, ARepeatHasTheSameBitsAndAnotherLearningRateHasNot) {
  MeshCase sharded{.data = 2, .shard = 2, .pipeline = 2, .zero = 3, .overlap = "on"};
  MeshCase split{.data = 2, .tensor = 2, .pipeline = 2, .overlap = "on"};
  for (const MeshCase& c : {sharded, split}) {
    std::vector<Outcome> outcomes;
    for (const std::string rate : {"3e-3", "3e-3", "3.001e-3"}) {
      MeshRun run;
      run.learning_rate = rate;
      outcomes.push_back(train(stages(kFullTied, c, run), c.ranks(),
                               directory_ + "/repeat-" + std::to_string(next_++)));
    }
    if (world_->rank() == 0) {
      EXPECT_TRUE(outcomes[0] == outcomes[1]) << c.text();
      EXPECT_FALSE(outcomes[0].tensors == outcomes[2].tensors) << c.text();
      EXPECT_NE(outcomes[0].rows, outcomes[2].rows) << c.text();
    }
  }
}

// Of values of one tensor, relative to its largest.
double difference(const std::string& a, const std::string& b) {
  const std::span x(reinterpret_cast<const double*>(a.data()), a.size() / sizeof(double));
  const std::span y(reinterpret_cast<const double*>(b.data()), b.size() / sizeof(double));
  double most = 0;
  double largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    most = std::max(most, std::abs(x[i] - y[i]));
    largest = std::max(largest, std::abs(x[i]));
  }
  constexpr double kNothing = 1e-6;  // biases of k, where nothing turns it: rounding
  return largest > kNothing ? most / largest : most;
}

proto::StageResult result_of(const Outcome& outcome) {
  proto::StageResult result;
  result.ParseFromString(outcome.rows);
  return result;
}

// The whole chain in f64, the base's training too: what is left is the order of sums.
TEST_F(MeshGolden, TheTensorAxisIsTheRunOfOneRankToRounding) {
  constexpr double kTolerance = 1e-10;
  MeshRun run;
  run.precision = "f64";
  std::vector<Variant> variants(std::begin(kVariants), std::end(kVariants));
  variants.insert(variants.end(), std::begin(kFamilies), std::end(kFamilies));
  for (const Variant& variant : variants) {
    const std::string place = directory_ + "/f64-" + std::to_string(next_++) + "-";
    const Outcome one = train(stages(variant, {}, run), 1, place + "1", DType::kF64);
    for (const int tensor : {2, 4}) {
      MeshCase c;
      c.tensor = tensor;
      const Outcome got =
          train(stages(variant, c, run), tensor, place + std::to_string(tensor), DType::kF64);
      if (world_->rank() != 0) {
        continue;
      }
      const proto::StageResult expected = result_of(one);
      const proto::StageResult actual = result_of(got);
      ASSERT_EQ(actual.steps_size(), expected.steps_size());
      for (int i = 0; i < expected.steps_size(); ++i) {
        const double loss = expected.steps(i).loss();
        EXPECT_NEAR(actual.steps(i).loss(), loss, kTolerance * loss)
            << variant.name << ", tensor " << tensor << ", step " << i + 1;
      }
      ASSERT_EQ(got.tensors.size(), one.tensors.size());
      for (const auto& [path, bytes] : one.tensors) {
        ASSERT_EQ(got.tensors.at(path).size(), bytes.size()) << path;
        EXPECT_LT(difference(bytes, got.tensors.at(path)), kTolerance)
            << variant.name << ", tensor " << tensor << ", " << path;
      }
    }
  }
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  // Messages of the small model go as those of a large one do: a send waits for its receiver.
  ::setenv("OMPI_MCA_btl_vader_eager_limit", "256", 1);
  return finescale::run_mpi_tests(argc, argv, 400);
}
