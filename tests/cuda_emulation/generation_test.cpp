// SPDX-License-Identifier: Apache-2.0
// Text that an emulated GPU generates: the tokens of the CPU, in any company.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/error.h"
#include "core/parallel.h"
#include "kernels/round.h"
#include "tests/cuda_emulation/gpu_fixture.h"
#include "tests/cuda_emulation/runtime/machine.h"
#include "tests/worker/decoded_logits.h"
#include "tests/worker/model_fixture.h"
#include "worker/base_model.h"
#include "worker/engines.h"
#include "worker/eval/decoder.h"
#include "worker/eval/generate.h"
#include "worker/measured_model.h"
#include "worker/model/initialize.h"
#include "worker/single_engine.h"

namespace finescale {
namespace {

using cuda::emulation::Pace;

enum class Weights : std::uint8_t {
  kRandom,
  kOfBf16,
  kInBf16
};  // f32, f32 with bf16's values, bf16

struct Told {
  std::string family = "llama";
  std::string method = "full";
  Pace pace = Pace::kRandom;
  Weights weights = Weights::kRandom;
};

BaseForm form_of(Weights weights) {
  BaseForm form;
  if (weights == Weights::kInBf16) {
    form.is_bf16 = [](const std::string& /*tensor*/) { return true; };
  }
  return form;
}

void fill(BaseModel& model, Weights weights) {
  fill_base(model, [weights](BasePiece& piece, int index) {
    fill_tensor(piece, index, [&](const LocalPart& slab, const TensorView& values) {
      initialize_tensor(piece.layout.shape(), 1, piece.weights.tensor(index), slab, values);
      if (weights != Weights::kRandom) {
        round_to_bf16(Stream(), values, values);
      }
    });
  });
}

// A model with random weights, on the CPU or a GPU.
class Answering {
 public:
  Answering(const Told& told, Gpu* gpu, const Engine* of_mesh = nullptr) {
    Engine engine = of_mesh != nullptr ? *of_mesh : single_.engine();
    if (gpu != nullptr) {
      engine.stream = gpu->stream();
    }
    config::ModelConfig config = model_test::model_config(
        {.kv_heads = 2, .tied = told.family != "phi", .layers = 2, .family = told.family});
    if (told.family == "llama") {
      config.mutable_llama()->set_max_positions(400);
    }
    AdaptedModel adapted;
    adapted.base = std::make_shared<BaseModel>(
        make_base_model(engine, config, DType::kF32, form_of(told.weights)));
    fill(*adapted.base, told.weights);
    for (const auto& piece : adapted.base->pieces) {
      if (told.method == "full") {
        break;
      }
      MethodInput input{.layout = &piece->layout, .base = base_weights(engine, *piece)};
      input.is_fresh = false;
      config::Method method;
      if (told.method == "lora") {
        method.mutable_lora()->set_rank(4);
      } else {
        method.mutable_ia3();
      }
      adapted.adapters.push_back(make_method(method, input));
      model_test::perturb(adapted.adapters.back()->trainable(), 0.2);
      adapted.adapters.back()->values_changed();
    }
    model_ = std::make_unique<MeasuredModel>(engine, std::move(adapted));
  }
  [[nodiscard]] std::vector<std::vector<std::int32_t>> tokens(
      const std::vector<std::vector<std::int32_t>>& prompts, const GenerationOptions& options) {
    std::vector<std::vector<std::int32_t>> all;
    for (Generated& answer : Generator(model_->eval()).run(prompts, options)) {
      all.push_back(std::move(answer.tokens));
    }
    return all;
  }
  [[nodiscard]] const Transformer& transformer() const {
    return *model_->eval().pieces().front().model;
  }

 private:
  SingleEngine single_;
  std::unique_ptr<MeasuredModel> model_;
};

std::vector<std::vector<std::int32_t>> prompts_of(const std::vector<int>& lengths) {
  Random random(5, Purpose::kTest);
  std::vector<std::vector<std::int32_t>> all;
  for (const int length : lengths) {
    auto& prompt = all.emplace_back();
    for (int i = 0; i < length; ++i) {
      prompt.push_back(static_cast<std::int32_t>(random.below(44)));
    }
  }
  return all;
}

GenerationOptions options_of(const SamplingOptions& sampling, std::int64_t batch) {
  GenerationOptions options;
  options.sampling = sampling;
  options.max_new = 6;
  options.seed = 9;
  options.stop_tokens = {3};
  options.batch = batch;
  options.rows = 9;  // prompts go through in blocks
  return options;
}

constexpr SamplingOptions kGreedy = {};
constexpr SamplingOptions kSampled = {
    .temperature = 1.2, .top_k = 30, .top_p = 0.95, .repetition_penalty = 1.1};

class GpuGeneration : public OnGpuOf<Told> {
 protected:
  void SetUp() override {
    set_num_threads(1);
    OnGpuOf::SetUp();
  }
};

// More prompts than places: a finished sequence makes room.
TEST_P(GpuGeneration, HasTheTokensOfTheCpu) {
  const auto prompts = prompts_of({5, 1, 19, 8, 2});
  Answering cpu(GetParam(), nullptr);
  Answering gpu(GetParam(), gpu_.get());
  for (const SamplingOptions& sampling : {kGreedy, kSampled}) {
    const auto wanted = cpu.tokens(prompts, options_of(sampling, 3));
    EXPECT_EQ(gpu.tokens(prompts, options_of(sampling, 3)), wanted);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GpuGeneration,
                         testing::Values(Told{}, Told{.method = "lora", .pace = Pace::kLate},
                                         Told{.family = "llama_biased", .method = "lora"},
                                         Told{.family = "gpt2", .pace = Pace::kEager},
                                         Told{.family = "mistral"}, Told{.family = "qwen3"},
                                         Told{.family = "gemma"}, Told{.family = "phi"},
                                         Told{.family = "gpt_neox_sequential"}),
                         [](const auto& one) { return one.param.family + "_" + one.param.method; });

class OneGpu : public GpuGeneration {};

TEST_P(OneGpu, AnswersDoNotDependOnTheirCompany) {
  const auto prompts = prompts_of({5, 1, 19, 8, 2});
  Answering gpu(GetParam(), gpu_.get());
  const auto alone = gpu.tokens(prompts, options_of(kSampled, 1));
  EXPECT_EQ(gpu.tokens(prompts, options_of(kSampled, 4)), alone);
}

// Positions in several pages, and in several splits of attention.
TEST_P(OneGpu, LongPromptsHaveTheTokensOfTheCpu) {
  const auto prompts = prompts_of({270, 3, 66});
  Answering cpu(GetParam(), nullptr);
  Answering gpu(GetParam(), gpu_.get());
  GenerationOptions options = options_of(kGreedy, 2);
  options.rows = 200;
  options.max_new = 3;
  EXPECT_EQ(gpu.tokens(prompts, options), cpu.tokens(prompts, options));
}

TEST_P(OneGpu, MatricesInBf16HaveTheBitsOfTheirValues) {
  for (const char* const family : {"llama", "gpt2", "phi"}) {
    SCOPED_TRACE(family);
    Answering values({.family = family, .weights = Weights::kOfBf16}, gpu_.get());
    Answering halves({.family = family, .weights = Weights::kInBf16}, gpu_.get());
    EXPECT_EQ(halves.transformer().layer(1).down.factor().dtype, DType::kBf16);
    EXPECT_EQ(halves.transformer().embedding().factor().dtype, DType::kBf16);
    for (const int rows : {1, 7}) {
      EXPECT_TRUE(decoded_logits(halves.transformer(), rows) ==
                  decoded_logits(values.transformer(), rows));
    }
    Answering cpu({.family = family, .weights = Weights::kInBf16}, nullptr);
    const auto prompts = prompts_of({5, 1, 19});
    EXPECT_EQ(halves.tokens(prompts, options_of(kGreedy, 3)),
              cpu.tokens(prompts, options_of(kGreedy, 3)));
  }
}

TEST_P(OneGpu, WhatHasNoKernelsIsRefused) {
  Answering gpu({.method = "ia3"}, gpu_.get());
  ASSERT_TRUE(decoder_fault(gpu.transformer()));
  try {
    (void)gpu.tokens(prompts_of({3}), options_of(kGreedy, 1));
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDevice);
  }
}

INSTANTIATE_TEST_SUITE_P(Machine, OneGpu, testing::Values(Told{.method = "lora"}),
                         [](const auto& one) { return one.param.method; });

// A layer over two ranks, layers over two ranks, weights that are gathered.
TEST(GpusOfAMesh, HaveTheTokensOfOneRankOnTheCpu) {
  set_num_threads(1);
  cuda::emulation::start_machine({.devices = 2});
  if (std::ssize(survey_gpus().gpus) < 2) {
    GTEST_SKIP() << "there are too few GPUs";
  }
  const Told told{.method = "lora"};
  const auto prompts = prompts_of({5, 1, 12});
  std::vector<std::vector<std::vector<std::int32_t>>> wanted;
  Answering cpu(told, nullptr);
  for (const SamplingOptions& sampling : {kGreedy, kSampled}) {
    wanted.push_back(cpu.tokens(prompts, options_of(sampling, 2)));
  }
  for (const char* const axis : {"tensor", "pipeline", "shard"}) {
    SCOPED_TRACE(axis);
    config::Mesh mesh;
    axis == std::string("tensor")     ? mesh.set_tensor(2)
    : axis == std::string("pipeline") ? mesh.set_pipeline(2)
                                      : mesh.set_shard(2);
    if (axis == std::string("shard")) {
      mesh.set_zero(3);
    }
    cuda::emulation::start_machine({.devices = 2, .pace = Pace::kRandom, .seed = 9});
    run_local_ranks(2, [&](Group& host) {
      set_num_threads(1);
      Gpu gpu(host.rank(), host.rank());
      Engines engines(host, &gpu);
      const Engine engine = engines.get(mesh);
      Answering ranks(told, &gpu, &engine);
      EXPECT_EQ(ranks.tokens(prompts, options_of(kGreedy, 2)), wanted[0]);
      EXPECT_EQ(ranks.tokens(prompts, options_of(kSampled, 2)), wanted[1]);
    });
  }
  cuda::emulation::start_machine({});
}

}  // namespace
}  // namespace finescale
