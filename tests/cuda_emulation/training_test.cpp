// SPDX-License-Identifier: Apache-2.0
// Whole training steps on the emulated GPU: the tape, the gradient tree, the norm and the update,
// with the losses of the CPU.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/parallel.h"
#include "core/random.h"
#include "tests/cuda_emulation/gpu_fixture.h"
#include "tests/cuda_emulation/runtime/machine.h"
#include "worker/data/loader.h"
#include "worker/engines.h"
#include "worker/optim/schedule.h"
#include "worker/single_engine.h"
#include "worker/train_model.h"

namespace finescale {
namespace {

using cuda::emulation::Pace;

constexpr int kVocab = 48;

config::ModelConfig model_config(const std::string& family, int num_layers, int hidden) {
  config::ModelConfig config;
  const auto size = [num_layers, hidden](auto& model) {
    model.set_vocab_size(kVocab);
    model.set_hidden_size(hidden);
    model.set_num_layers(num_layers);
    model.set_num_heads(4);
    model.set_intermediate_size(hidden + 16);
    model.set_max_positions(32);
    model.set_initializer_range(0.1);
  };
  if (family == "llama") {
    size(*config.mutable_llama());
    config.mutable_llama()->set_num_kv_heads(2);
    config.mutable_llama()->set_tie_embeddings(true);
  } else if (family == "gpt2") {
    size(*config.mutable_gpt2());
  } else {
    size(*config.mutable_qwen3());
    config.mutable_qwen3()->set_num_kv_heads(2);
    config.mutable_qwen3()->set_head_dim(8);
    config.mutable_qwen3()->set_tie_embeddings(false);
  }
  return config;
}

struct Setting {
  std::string family = "llama";
  int num_layers = 1;
  std::string method = "full";
  config::OptimizerState moments = config::OPTIMIZER_STATE_FULL;
  Recompute recompute = Recompute::kNone;
  bool host_moments = false;
  Products products = Products::kF32;
  Pace pace = Pace::kLate;
  std::int64_t example_length = 0;  // 0: of different lengths
  std::string optimizer = "adamw";
  int hidden = 32;
};

config::Train train_config(const Setting& setting) {
  config::Train train;
  if (setting.method == "lora") {
    train.mutable_method()->mutable_lora()->set_rank(4);
  } else {
    train.mutable_method()->mutable_full();
  }
  train.mutable_batch()->set_examples(4);
  if (setting.optimizer == "sgd") {
    train.mutable_optimizer()->mutable_sgd()->set_momentum(0.9);
  } else if (setting.optimizer == "lion") {
    train.mutable_optimizer()->mutable_lion();
  }
  train.set_micro_batch_tokens(16);
  train.set_learning_rate(2e-3);
  train.mutable_schedule()->mutable_linear();
  train.set_weight_decay(0.01);
  train.set_clip_norm(0.5);
  train.set_optimizer_state(setting.moments);
  return train;
}

// Packed rows: several examples of a micro-batch; length 0: different ones.
Dataset examples(int steps, std::int64_t wanted_length) {
  std::vector<Example> all;
  Random random(4, Purpose::kTest);
  for (int i = 0; i < 4 * steps; ++i) {
    Example example;
    const auto length =
        wanted_length > 0 ? wanted_length : static_cast<std::int64_t>(3 + random.below(6));
    for (std::int64_t t = 0; t < length; ++t) {
      example.tokens.push_back(static_cast<std::int32_t>(random.below(kVocab)));
    }
    all.push_back(std::move(example));
  }
  return Dataset(all);
}

// A model that trains on the CPU or a GPU, alone or as one rank of a mesh.
class TrainedRun {
 public:
  TrainedRun(const Setting& setting, int steps, Gpu* gpu, const Engine* of_mesh = nullptr)
      : train_(train_config(setting)),
        data_(examples(steps, setting.example_length)),
        loader_(data_, train_, 1) {
    Engine engine = of_mesh != nullptr ? *of_mesh : single_.engine();
    engine.recompute = setting.recompute;
    engine.host_moments = setting.host_moments;
    engine.stream =
        (gpu != nullptr ? gpu->stream() : engine.stream).with_products(setting.products);
    base_ = make_base_model(
        engine, model_config(setting.family, setting.num_layers, setting.hidden), DType::kF32);
    initialize(base_, 1);
    model_ = std::make_unique<TrainModel>(engine, base_, train_, 1, loader_);
  }
  // Loss and norm of a step whose losses are scaled.
  std::pair<double, double> step(std::int64_t number, double more = 1) {
    loader_.fill(number, batch_);
    const double scale = more / static_cast<double>(batch_.num_labels);
    const double loss = model_->forward_backward(batch_, scale) * scale;
    model_->find_gradient_norm();
    model_->update(number + 1, learning_rate_at(train_, number + 1, num_steps()));
    return {loss, model_->gradient_norm()};
  }
  // A step up to its end, but for the norm.
  void step_without_norm(std::int64_t number, const std::function<void()>& before_norm) {
    loader_.fill(number, batch_);
    (void)model_->forward_backward(batch_, 1.0 / static_cast<double>(batch_.num_labels));
    before_norm();
    model_->find_gradient_norm();
    model_->update(number + 1, learning_rate_at(train_, number + 1, num_steps()));
  }
  [[nodiscard]] TrainModel& model() { return *model_; }
  [[nodiscard]] std::int64_t num_steps() const { return loader_.num_steps(); }
  // Everything that a checkpoint holds.
  [[nodiscard]] std::vector<std::vector<std::byte>> state() {
    std::vector<std::vector<std::byte>> all;
    for (const CheckpointTensor& tensor : model_->share_for_writing(true, false)) {
      const auto* data = tensor.local.as<std::byte>();
      all.emplace_back(data, data + tensor.local.size_bytes());
    }
    model_->have_written();
    return all;
  }
  void restore(const std::vector<std::vector<std::byte>>& state) {
    std::size_t i = 0;
    for (const CheckpointTensor& tensor : model_->owned_for_reading(false)) {
      ASSERT_EQ(tensor.local.size_bytes(), state[i].size());
      std::memcpy(tensor.local.data, state[i].data(), state[i].size());
      ++i;
    }
    model_->have_read();
  }

 private:
  SingleEngine single_;
  config::Train train_;
  Dataset data_;
  TrainLoader loader_;
  BaseModel base_;
  std::unique_ptr<TrainModel> model_;
  GlobalBatch batch_;
};

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

// Losses and norms of 20 steps, what they left, and what became of the last five's operations.
struct GraphRun {
  std::vector<std::pair<double, double>> steps;
  std::vector<std::vector<std::byte>> state;
  GpuGraphs before;
  GpuGraphs after;
  [[nodiscard]] double share_replayed() const {
    return static_cast<double>(after.replayed_operations - before.replayed_operations) /
           static_cast<double>(after.operations - before.operations);
  }
};

GraphRun run_with_graphs(const Setting& setting, const char* graphs) {
  constexpr int kSteps = 20;
  GraphRun result;
  cuda::emulation::start_machine({.pace = setting.pace, .seed = 5});
  {
    ::setenv("FINESCALE_GPU_GRAPHS", graphs, 1);
    Gpu gpu(0, 0);
    ::unsetenv("FINESCALE_GPU_GRAPHS");
    TrainedRun run(setting, kSteps, &gpu);
    for (std::int64_t step = 0; step < kSteps; ++step) {
      result.before = step == kSteps - 5 ? gpu.graphs() : result.before;
      result.steps.push_back(run.step(step));
    }
    result.after = gpu.graphs();
    result.state = run.state();
  }
  cuda::emulation::start_machine({});
  return result;
}

struct GraphCase {
  Setting setting;
  double least_replayed = 0;  // of the last steps' operations
};

class GpuGraphsInTraining : public testing::TestWithParam<GraphCase> {};

TEST_P(GpuGraphsInTraining, HasTheBitsOfLaunchesOneByOne) {
  set_num_threads(1);
  const GraphRun with = run_with_graphs(GetParam().setting, "on");
  const GraphRun without = run_with_graphs(GetParam().setting, "off");
  EXPECT_EQ(with.steps, without.steps);
  EXPECT_TRUE(with.state == without.state);
  EXPECT_EQ(with.after.failure, "");
  EXPECT_EQ(without.after.segments, 0);
  EXPECT_GE(with.share_replayed(), GetParam().least_replayed);
}

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
  for (const char* method : {"full", "lora"}) {
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
        Ranks{.shape = {.tensor = 2}, .num_steps = 6, .pace = Pace::kRandom},
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

// Rows of one length repeat, and so does the update, which reads the factors of the step in the
// GPU's memory. What stands alone between two copies does not.
INSTANTIATE_TEST_SUITE_P(
    Settings, GpuGraphsInTraining,
    testing::Values(GraphCase{{.num_layers = 2, .example_length = 8}, 0.95},
                    GraphCase{{.num_layers = 2,
                               .method = "lora",
                               .products = Products::kBf16,
                               .pace = Pace::kRandom,
                               .example_length = 8},
                              0.95},
                    GraphCase{{.moments = config::OPTIMIZER_STATE_BF16, .example_length = 8}, 0.93},
                    GraphCase{{.moments = config::OPTIMIZER_STATE_INT8,
                               .pace = Pace::kRandom,
                               .example_length = 8},
                              0.93},
                    GraphCase{{.example_length = 8, .optimizer = "sgd"}, 0.9},
                    GraphCase{{.method = "lora", .example_length = 8, .optimizer = "lion"}, 0.9},
                    GraphCase{{.num_layers = 2, .products = Products::kBf16}},
                    GraphCase{{.num_layers = 2, .method = "lora", .pace = Pace::kEager}}),
    [](const auto& one) {
      const Setting& setting = one.param.setting;
      return setting.method + (setting.products == Products::kBf16 ? "_rounded" : "_f32") +
             (setting.example_length > 0 ? "_fixed_" : "_ragged_") + setting.optimizer + "_" +
             std::to_string(static_cast<int>(setting.moments));
    });

INSTANTIATE_TEST_SUITE_P(
    Settings, GpuTraining,
    testing::Values(Setting{}, Setting{.method = "lora", .pace = Pace::kRandom},
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
