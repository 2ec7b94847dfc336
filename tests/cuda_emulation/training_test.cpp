// SPDX-License-Identifier: Apache-2.0
// Whole training steps on the emulated GPU: the tape, the gradient tree, the norm and the update,
// with the losses of the CPU.
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/parallel.h"
#include "tests/cuda_emulation/gpu_fixture.h"
#include "tests/cuda_emulation/runtime/machine.h"
#include "tests/cuda_emulation/training_run.h"
#include "worker/engines.h"

namespace finescale {
namespace {

class GpuTraining : public OnGpuOf<Setting> {
 protected:
  void SetUp() override {
    set_num_threads(1);
    OnGpuOf::SetUp();
  }
};

TEST_P(GpuTraining, HasTheLossesOfTheCpu) {
  if (GetParam().products == Products::kBf16) {
    GTEST_SKIP() << "a GPU stores what the CPU keeps as f32: see GpuTrainingOfRoundedProducts";
  }
  constexpr int kSteps = 20;
  TrainedRun cpu(GetParam(), kSteps, nullptr);
  TrainedRun gpu(GetParam(), kSteps, gpu_.get());
  std::int64_t allocations = 0;
  // A moment of one byte at the border between two codes, an eighth apart, falls to either side.
  const double close = GetParam().moments == config::OPTIMIZER_STATE_INT8 ? 1e-4 : 1e-5;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    const auto [loss, norm] = cpu.step(step);
    const auto [gpu_loss, gpu_norm] = gpu.step(step);
    EXPECT_NEAR(gpu_loss / loss, 1, close) << "step " << step;
    EXPECT_NEAR(gpu_norm / norm, 1, 1e-4) << "step " << step;
    allocations = step == kSteps / 2 ? gpu_->memory().num_system_allocations : allocations;
  }
  EXPECT_EQ(gpu_->memory().num_system_allocations, allocations);
}

// Of losses and norms, relative. A path through a layer has about ten values that a GPU stores as
// bf16 and the CPU does not, each off by 2^-9 at most, by a third of that in the mean: a few 1e-3
// of what a layer adds to the stream, of which the mean over tokens leaves less; then Adam's
// updates, whose signs follow the roundings of small gradients, take the weights apart.
constexpr double kFirstRoundedLoss = 2e-3;
constexpr double kRoundedLoss = 1e-2;
constexpr double kRoundedNorm = 3e-2;

// Against products of f32 and against those of the CPU with the same operands rounded.
class GpuTrainingOfRoundedProducts : public OnGpuOf<Setting> {};

TEST_P(GpuTrainingOfRoundedProducts, StaysNearTheLossesOfTheCpu) {
  set_num_threads(1);
  constexpr int kSteps = 20;
  for (const Products of_cpu : {Products::kF32, Products::kBf16}) {
    Setting setting = GetParam();
    TrainedRun rounded(setting, kSteps, gpu_.get());
    setting.products = of_cpu;
    TrainedRun cpu(setting, kSteps, nullptr);
    double most = 0;
    std::int64_t allocations = 0;
    for (std::int64_t step = 0; step < kSteps; ++step) {
      const auto [loss, norm] = cpu.step(step);
      const auto [rounded_loss, rounded_norm] = rounded.step(step);
      EXPECT_NEAR(rounded_loss / loss, 1, step == 0 ? kFirstRoundedLoss : kRoundedLoss) << step;
      EXPECT_NEAR(rounded_norm / norm, 1, kRoundedNorm) << step;
      most = std::max(most, std::abs(rounded_loss / loss - 1));
      allocations = step == kSteps / 2 ? gpu_->memory().num_system_allocations : allocations;
    }
    EXPECT_GT(most, 1e-6);  // it does round
    EXPECT_EQ(gpu_->memory().num_system_allocations, allocations);
  }
}

// 36: rows that are not whole packs, and heads of 9 that tensor cores do not take.
INSTANTIATE_TEST_SUITE_P(
    Settings, GpuTrainingOfRoundedProducts,
    testing::Values(
        Setting{.family = "qwen3", .products = Products::kBf16, .pace = Pace::kRandom},
        Setting{.family = "qwen3", .method = "lora", .products = Products::kBf16},
        Setting{.method = "qlora", .products = Products::kBf16, .pace = Pace::kRandom},
        Setting{.family = "gpt2", .products = Products::kBf16, .hidden = 36},
        Setting{.num_layers = 2, .recompute = Recompute::kSelective, .products = Products::kBf16},
        Setting{.num_layers = 2,
                .method = "lora",
                .recompute = Recompute::kFull,
                .products = Products::kBf16}),
    [](const auto& one) {
      return one.param.family + "_" + one.param.method + "_" +
             std::to_string(static_cast<int>(one.param.recompute)) + "_" +
             std::to_string(one.param.hidden);
    });

TEST_P(GpuTraining, GoesOnFromACheckpointWithTheSameBits) {
  TrainedRun whole(GetParam(), 4, gpu_.get());
  (void)whole.step(0);
  (void)whole.step(1);
  const auto saved = whole.state();
  const auto wanted = whole.step(2);
  TrainedRun again(GetParam(), 4, gpu_.get());
  again.restore(saved);
  EXPECT_TRUE(again.state() == saved);
  EXPECT_EQ(again.step(2), wanted);
  EXPECT_TRUE(again.state() == whole.state());
}

// Nothing moves, neither weights nor moments, and the next step is as if there had been no other.
TEST_P(GpuTraining, AGradientThatIsNotFiniteLeavesEverythingAsItIs) {
  TrainedRun run(GetParam(), 6, gpu_.get());
  TrainedRun wanted(GetParam(), 6, gpu_.get());
  for (std::int64_t step = 0; step < 2; ++step) {
    EXPECT_EQ(run.step(step), wanted.step(step));
  }
  const auto before = run.state();
  for (const double scale : {std::numeric_limits<double>::infinity(), std::nan("")}) {
    const double norm = run.step(2, scale).second;
    EXPECT_FALSE(std::isfinite(norm));
    EXPECT_TRUE(run.state() == before);
  }
  EXPECT_EQ(run.step(2), wanted.step(2));
  EXPECT_TRUE(run.state() == wanted.state());
}

#ifndef FINESCALE_ON_GPU
// On a machine that runs nothing until somebody waits for it.
TEST(GpuUpdate, IsEnqueuedBeforeTheNormIsKnown) {
  set_num_threads(1);
  cuda::emulation::start_machine({.pace = Pace::kLate});
  {
    Gpu gpu(0, 0);
    const auto mark = [&gpu](cudaEvent_t event) {
      ASSERT_EQ(cudaEventRecord(event, static_cast<cudaStream_t>(gpu.native_stream())),
                cudaSuccess);
    };
    cudaEvent_t gradient = nullptr;
    cudaEvent_t update = nullptr;
    ASSERT_EQ(cudaEventCreateWithFlags(&gradient, cudaEventDisableTiming), cudaSuccess);
    ASSERT_EQ(cudaEventCreateWithFlags(&update, cudaEventDisableTiming), cudaSuccess);
    for (const char* method : {"full", "lora"}) {
      TrainedRun run({.num_layers = 2, .method = method}, 3, &gpu);
      for (std::int64_t step = 0; step < 3; ++step) {
        run.step_without_norm(step, [&] { mark(gradient); });
        mark(update);
        EXPECT_EQ(cudaEventQuery(gradient), cudaErrorNotReady) << "somebody waited";
        EXPECT_GT(run.model().gradient_norm(), 0);
        EXPECT_EQ(cudaEventQuery(gradient), cudaSuccess);
        EXPECT_EQ(cudaEventQuery(update), cudaErrorNotReady) << "the norm waits for the update";
      }
    }
    EXPECT_EQ(cudaEventDestroy(gradient), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(update), cudaSuccess);
  }
  cuda::emulation::start_machine({});
}
#endif

// Ranks with a GPU each: gradients, rows of activations, states of pieces go by NCCL.
struct Ranks {
  MeshShape shape;
  int zero_stage = 0;
  int interleave = 1;
  int num_layers = 1;
  int num_steps = 20;
  Pace pace = Pace::kLate;
  Products products = Products::kF32;
  std::string family = "llama";
  int hidden = 32;
  std::vector<const char*> methods = {"full", "lora"};
};

config::Mesh mesh_config(const Ranks& ranks) {
  config::Mesh mesh;
  mesh.set_data(ranks.shape.data);
  mesh.set_shard(ranks.shape.shard);
  mesh.set_tensor(ranks.shape.tensor);
  mesh.set_pipeline(ranks.shape.pipeline);
  mesh.set_interleave(ranks.interleave);
  if (ranks.zero_stage > 0) {
    mesh.set_zero(ranks.zero_stage);
  }
  return mesh;
}

class SeveralGpus : public testing::TestWithParam<Ranks> {};

TEST_P(SeveralGpus, HaveTheLossesOfOneRankOnTheCpu) {
  const Ranks& ranks = GetParam();
  const int num_ranks = ranks.shape.num_ranks();
  cuda::emulation::start_machine({.devices = num_ranks});
  if (std::ssize(survey_gpus().gpus) < num_ranks) {
    GTEST_SKIP() << "there are too few GPUs";
  }
  set_num_threads(1);
  for (const char* method : ranks.methods) {
    const Setting setting{.family = ranks.family,
                          .num_layers = ranks.num_layers,
                          .method = method,
                          .products = ranks.products,
                          .hidden = ranks.hidden};
    const bool rounds = ranks.products == Products::kBf16;
    std::vector<std::pair<double, double>> wanted;
    TrainedRun cpu(setting, ranks.num_steps, nullptr);
    for (std::int64_t step = 0; step < ranks.num_steps; ++step) {
      wanted.push_back(cpu.step(step));
    }
    cuda::emulation::start_machine({.devices = num_ranks, .pace = ranks.pace, .seed = 9});
    run_local_ranks(num_ranks, [&](Group& host) {
      set_num_threads(1);
      Gpu gpu(host.rank(), host.rank());
      Engines engines(host, &gpu);
      const Engine engine = engines.get(mesh_config(ranks));
      TrainedRun run(setting, ranks.num_steps, &gpu, &engine);
      for (std::int64_t step = 0; step < ranks.num_steps; ++step) {
        const auto [loss, norm] = run.step(step);
        const auto [cpu_loss, cpu_norm] = wanted[static_cast<std::size_t>(step)];
        EXPECT_NEAR(loss / cpu_loss, 1, rounds ? kRoundedLoss : 1e-5) << step;
        EXPECT_NEAR(norm / cpu_norm, 1, rounds ? kRoundedNorm : 1e-4) << step;
      }
    });
  }
  cuda::emulation::start_machine({});
}

INSTANTIATE_TEST_SUITE_P(
    Meshes, SeveralGpus,
    testing::Values(
        Ranks{.shape = {.data = 2}},
        Ranks{.shape = {.shard = 2}, .zero_stage = 1, .pace = Pace::kRandom},
        Ranks{.shape = {.shard = 2}, .zero_stage = 2},
        Ranks{.shape = {.shard = 2}, .zero_stage = 3, .pace = Pace::kRandom},
        Ranks{.shape = {.tensor = 2},
              .num_steps = 6,
              .pace = Pace::kRandom,
              .methods = {"full", "lora", "qlora"}},
        Ranks{.shape = {.tensor = 2},
              .num_steps = 6,
              .pace = Pace::kRandom,
              .products = Products::kBf16},
        Ranks{.shape = {.tensor = 2},
              .num_steps = 6,
              .products = Products::kBf16,
              .family = "gpt2",
              .hidden = 36},
        Ranks{.shape = {.pipeline = 2}, .num_layers = 2, .num_steps = 6, .pace = Pace::kRandom},
        Ranks{.shape = {.pipeline = 2}, .interleave = 2, .num_layers = 4, .num_steps = 3},
        Ranks{.shape = {.shard = 2, .pipeline = 2},
              .zero_stage = 3,
              .num_layers = 2,
              .num_steps = 3,
              .pace = Pace::kRandom},
        Ranks{.shape = {.tensor = 2, .pipeline = 2}, .num_layers = 2, .num_steps = 3}),
    [](const auto& one) {
      const MeshShape& shape = one.param.shape;
      return "data" + std::to_string(shape.data) + "_shard" + std::to_string(shape.shard) +
             "_tensor" + std::to_string(shape.tensor) + "_pipeline" +
             std::to_string(shape.pipeline) + "_zero" + std::to_string(one.param.zero_stage) +
             "_interleave" + std::to_string(one.param.interleave) +
             (one.param.products == Products::kBf16 ? "_rounded" + std::to_string(one.param.hidden)
                                                    : "");
    });

INSTANTIATE_TEST_SUITE_P(
    Settings, GpuTraining,
    testing::Values(Setting{}, Setting{.method = "lora", .pace = Pace::kRandom},
                    Setting{.num_layers = 2, .method = "qlora", .pace = Pace::kRandom},
                    Setting{.family = "gpt2", .pace = Pace::kEager},
                    Setting{.host_moments = true, .pace = Pace::kRandom},
                    Setting{.optimizer = "sgd"},
                    Setting{.family = "qwen3", .products = Products::kBf16},
                    Setting{.moments = config::OPTIMIZER_STATE_INT8, .host_moments = true},
                    Setting{.family = "qwen3",
                            .moments = config::OPTIMIZER_STATE_INT8,
                            .recompute = Recompute::kSelective},
                    Setting{.family = "qwen3",
                            .method = "lora",
                            .moments = config::OPTIMIZER_STATE_BF16,
                            .recompute = Recompute::kFull}),
    [](const auto& one) {
      return one.param.family + "_" + one.param.method + "_" +
             std::to_string(static_cast<int>(one.param.moments)) + "_" +
             std::to_string(static_cast<int>(one.param.recompute)) +
             (one.param.host_moments ? "_host" : "") + "_" + one.param.optimizer +
             (one.param.products == Products::kBf16 ? "_rounded" : "");
    });

}  // namespace
}  // namespace finescale
