// SPDX-License-Identifier: Apache-2.0
// The planner's GPU: the memory that it foresees is what the arena of one gives at most, and its
// rates are the device's.
#include <memory>

#include <gtest/gtest.h>

#include "configs/mesh_plan.h"
#include "core/parallel.h"
#include "core/random.h"
#include "tests/cuda_emulation/runtime/machine.h"
#include "worker/accounting.h"
#include "worker/data/loader.h"
#include "worker/precision.h"
#include "worker/single_engine.h"
#include "worker/tool/plan_tool_gpu.h"
#include "worker/tool/plan_tool_mesh.h"
#include "worker/train_model.h"

namespace finescale {
namespace {

constexpr int kPlanVocab = 384;
constexpr int kMicroTokens = 96;
constexpr double kWorkspace = 32 << 20;  // of matrix products, once for a GPU

struct Training {
  std::string method = "full";
  config::Precision precision = config::PRECISION_F32;
  bool tied = true;
  Recompute recompute = Recompute::kNone;
  int vocab = kPlanVocab;
};

void PrintTo(const Training& training, std::ostream* out) {
  *out << training.method << " precision " << training.precision << " tied " << training.tied
       << " recompute " << static_cast<int>(training.recompute) << " vocab " << training.vocab;
}

config::ModelConfig model_of(const Training& training) {
  config::ModelConfig config;
  config::Llama& model = *config.mutable_llama();
  model.set_vocab_size(training.vocab);
  model.set_hidden_size(64);
  model.set_num_layers(2);
  model.set_num_heads(4);
  model.set_num_kv_heads(2);
  model.set_intermediate_size(160);
  model.set_max_positions(128);
  model.set_tie_embeddings(training.tied);
  return config;
}

config::Train settings(const Training& training) {
  config::Train train;
  if (training.method == "lora") {
    train.mutable_method()->mutable_lora()->set_rank(8);
  } else if (training.method == "qlora") {
    train.mutable_method()->mutable_qlora()->set_rank(8);
  } else {
    train.mutable_method()->mutable_full();
  }
  train.mutable_batch()->set_examples(8);
  train.set_micro_batch_tokens(kMicroTokens);
  train.set_learning_rate(1e-3);
  train.set_steps(2);
  train.set_precision(training.precision);
  return train;
}

Dataset examples() {
  std::vector<Example> all;
  Random random(4, Purpose::kTest);
  for (int i = 0; i < 16; ++i) {
    Example example;
    const auto length = 12 + random.below(24);
    for (std::uint64_t t = 0; t < length; ++t) {
      example.tokens.push_back(static_cast<std::int32_t>(random.below(kPlanVocab)));
    }
    all.push_back(std::move(example));
  }
  return Dataset(all);
}

// Bytes in use at most while two steps train.
double arena_peak(const Training& training, const config::Train& train, const TrainLoader& loader) {
  Gpu gpu(0, 0);
  SingleEngine single;
  Engine engine = single.engine();
  engine.stream = gpu.stream();
  engine.recompute = training.recompute;
  engine = engine_for(engine, train);
  BaseModel base = make_base_model(engine, model_of(training), storage_of(training.precision),
                                   base_form(engine, train));
  initialize(base, 1);
  TrainModel model(engine, base, train, 1, loader);
  GlobalBatch batch;
  for (std::int64_t step = 0; step < loader.num_steps(); ++step) {
    loader.fill(step, batch);
    model.begin_step(step + 1);
    (void)model.forward_backward(batch, 1.0 / model.num_terms(batch));
    model.find_gradient_norm();
    model.update(step + 1, 1e-3);
  }
  return static_cast<double>(gpu.memory().peak);
}

class GpuPlan : public testing::TestWithParam<Training> {};

TEST_P(GpuPlan, MemoryIsWhatTheArenaGivesAtMost) {
  const Training& training = GetParam();
  set_num_threads(1);
  cuda::emulation::start_machine({});
  const config::Train train = settings(training);
  const Dataset data = examples();
  const TrainLoader loader(data, train, 1);
  const planner::Workload w =
      workload(train, decoder_shape(model_of(training)), batch_shape(loader), 2);
  planner::Machine machine;
  machine.host_link = 1e10;
  machine.base_bytes = kWorkspace;
  planner::Plan plan;
  plan.recompute = static_cast<planner::Recompute>(training.recompute);
  const planner::Memory planned = planner::peak_memory(w, plan, machine);
  const double peak = arena_peak(training, train, loader);
  // Every buffer of a model so small ends on 512 bytes.
  EXPECT_NEAR((peak - kWorkspace) / (planned.total() - kWorkspace), 1, 0.03)
      << peak - kWorkspace << " of " << planned.total() - kWorkspace << ": weights "
      << planned.weights << " gradients " << planned.gradients << " optimizer " << planned.optimizer
      << " activations " << planned.activations << " logits " << planned.logits << " scratch "
      << planned.scratch << " snapshot " << planned.snapshot << " communication "
      << planned.communication;
  cuda::emulation::start_machine({});
}

INSTANTIATE_TEST_SUITE_P(
    All, GpuPlan,
    testing::Values(Training{}, Training{.method = "lora"}, Training{.tied = false},
                    Training{.recompute = Recompute::kFull}, Training{.vocab = 1536},
                    Training{.precision = config::PRECISION_BF16},
                    Training{.method = "lora", .precision = config::PRECISION_BF16},
                    Training{.method = "qlora"},
                    Training{.method = "qlora", .precision = config::PRECISION_BF16},
                    Training{.precision = config::PRECISION_BF16,
                             .tied = false,
                             .recompute = Recompute::kSelective}));

GpuProbe quick_probe() {
  return {.width = 32, .rows = {8, 32}, .tokens = 16, .copy_bytes = 1 << 16, .seconds = 0};
}

TEST(GpuRates, AreThoseOfTheDevice) {
  cuda::emulation::start_machine({.devices = 2, .has_nvlink = true});
  {
    planner::Machine host;
    host.memory_bandwidth = 12345;
    Gpu gpu(0, 0);
    const planner::Machine machine = probe_gpu(gpu, Products::kBf16, host, quick_probe());
    EXPECT_EQ(machine.name, gpu.info().name);
    ASSERT_EQ(machine.gemm.size(), 2U);
    EXPECT_EQ(machine.gemm[1].rows, 32);
    for (const double rate :
         {machine.gemm[0].flops_per_s, machine.gemm[1].flops_per_s, machine.attention_flops_per_s,
          machine.memory_bandwidth, machine.host_link, machine.layer_overhead}) {
      EXPECT_GT(rate, 0);
      EXPECT_LT(rate, 1e15);
    }
    EXPECT_NE(machine.memory_bandwidth, host.memory_bandwidth);
    EXPECT_EQ(machine.host_bandwidth, host.memory_bandwidth);
    EXPECT_TRUE(machine.has_device());
    EXPECT_DOUBLE_EQ(machine.memory_per_rank, 0.95 * (256 << 20));
    EXPECT_DOUBLE_EQ(machine.base_bytes, kWorkspace);  // nobody else is on this GPU
    EXPECT_DOUBLE_EQ(machine.link(1, 2).bandwidth, 230e9);
    EXPECT_LT(machine.link(1, 4).bandwidth, 230e9);  // two hosts
  }
  cuda::emulation::start_machine({.devices = 2});
  {
    Gpu gpu(0, 0);
    const planner::Machine machine = probe_gpu(gpu, Products::kF32, {}, quick_probe());
    EXPECT_DOUBLE_EQ(machine.link(1, 2).bandwidth, machine.host_link / 2);  // by PCIe
  }
  cuda::emulation::start_machine({});
}

TEST(GpuRates, CountWhereTheGangWorksOnGpus) {
  cuda::emulation::start_machine({.devices = 2});
  const GpuSurvey two = survey_gpus();
  EXPECT_TRUE(plans_for_gpus("auto", 2, two));
  EXPECT_FALSE(plans_for_gpus("auto", 3, two));
  EXPECT_FALSE(plans_for_gpus("cpu", 1, two));
  EXPECT_TRUE(plans_for_gpus("cuda", 8, two));
  cuda::emulation::start_machine({.has_driver = false});
  planner::Machine host;
  host.name = "a host";
  EXPECT_EQ(machine_of_ranks("auto", 1, Products::kF32, host).name, "a host");
  EXPECT_EQ(machine_of_ranks("cuda", 1, Products::kF32, host).name, planner::h100().name);
  cuda::emulation::start_machine({});
}

TEST(GpuRates, TheUsersLimitCountsWhenItIsStated) {
  planner::Machine gpu;
  gpu.host_link = 1e10;
  gpu.memory_per_rank = 80e9;
  config::Mesh mesh;
  const auto limit = [&](double bytes, bool is_stated) {
    return answer_mesh({mesh, 1, bytes, is_stated}, {}, gpu).machine.memory_per_rank;
  };
  EXPECT_EQ(limit(8e9, false), 80e9);  // of the host
  EXPECT_EQ(limit(8e9, true), 8e9);
  EXPECT_EQ(limit(200e9, true), 80e9);
}

}  // namespace
}  // namespace finescale
