// SPDX-License-Identifier: Apache-2.0
// Tensor parallel models against one rank: losses, gradients of every tensor, greedy answers, and
// the same bits on repeat. Ranks are threads.
#include <cmath>
#include <mutex>
#include <ostream>

#include <gtest/gtest.h>

#include "tests/worker/greedy_answers.h"
#include "tests/worker/model_fixture.h"
#include "worker/eval/generate.h"

namespace finescale {
namespace {

using namespace model_test;  // NOLINT(google-build-using-namespace)

struct TensorCase {
  std::string name;
  int ranks = 2;
  Shape4 shape;
  Recompute recompute = Recompute::kNone;
  friend void PrintTo(const TensorCase& c, std::ostream* out) { *out << c.name; }
};

struct Result {
  std::vector<double> losses;  // by rank
  Gradients gradients;
  std::vector<std::string> bytes;
  std::vector<std::vector<std::int32_t>> answers;
  std::vector<double> token_losses;
};

Result run(const TensorCase& c, DType dtype, int ranks, const MicroBatch& batch) {
  Result result;
  result.losses.resize(static_cast<std::size_t>(ranks));
  result.bytes.resize(static_cast<std::size_t>(ranks));
  std::mutex mutex;
  run_local_ranks(ranks, [&](Group& group) {
    set_num_threads(1);
    Held held(c.shape, dtype, {.tensor_rank = group.rank(), .tensor_size = ranks},
              {.tensor = &group, .recompute = c.recompute, .hooks = {}});
    const auto rank = static_cast<std::size_t>(group.rank());
    result.losses[rank] = held.step(batch);
    result.bytes[rank] = held.gradient_bytes();
    {
      const std::scoped_lock lock(mutex);
      add_parts(held, result.gradients);
    }
    TensorView token_losses;
    const double again = held.model->forward_loss(batch, 64, &token_losses);
    EXPECT_EQ(again, result.losses[rank]);
    const auto answers =
        greedy_answers(group, *held.model, {{1, 2, 3}, {4}, {9, 30, 22, 7, 41}}, 9);
    const std::scoped_lock lock(mutex);
    if (result.answers.empty()) {
      result.answers = answers;
    }
    EXPECT_TRUE(answers == result.answers);
    if (rank == 0) {
      for (std::int64_t t = 0; t < batch.num_tokens(); ++t) {
        result.token_losses.push_back(dtype == DType::kF64 ? token_losses.as<double>()[t]
                                                           : token_losses.as<float>()[t]);
      }
    }
  });
  return result;
}

double difference(const std::vector<double>& got, const std::vector<double>& wanted) {
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    error += (got[i] - wanted[i]) * (got[i] - wanted[i]);
    size += wanted[i] * wanted[i];
  }
  // Biases of k shift all scores of a query alike: their gradients are rounding, of nothing.
  constexpr double kNothing = 1e-5;
  if (std::sqrt(size) < kNothing) {
    return std::sqrt(error) < kNothing ? 0 : 1;
  }
  return std::sqrt(error / size);
}

class ModelTensor : public testing::TestWithParam<TensorCase> {
 protected:
  void compare(DType dtype, double tolerance, const MicroBatch& batch) {
    const Result one = run(GetParam(), dtype, 1, batch);
    const Result cut = run(GetParam(), dtype, GetParam().ranks, batch);
    for (const double loss : cut.losses) {
      EXPECT_EQ(loss, cut.losses[0]);
      EXPECT_NEAR(loss, one.losses[0], tolerance * one.losses[0]);
    }
    EXPECT_LT(difference(cut.token_losses, one.token_losses), tolerance);
    ASSERT_EQ(cut.gradients.size(), one.gradients.size());
    for (const auto& [name, wanted] : one.gradients) {
      EXPECT_LT(difference(cut.gradients.at(name), wanted), tolerance) << name;
    }
    if (dtype == DType::kF64) {
      EXPECT_EQ(cut.answers, one.answers);
    }
    EXPECT_EQ(run(GetParam(), dtype, GetParam().ranks, batch).bytes, cut.bytes);
  }
};

TEST_P(ModelTensor, EqualsOneRankInDoublePrecision) {
  compare(DType::kF64, 1e-10, make_batch());
}

TEST_P(ModelTensor, FirstGradientsInSinglePrecision) {
  compare(DType::kF32, 1e-5, make_batch());
}

TEST_P(ModelTensor, FewerTokensThanRanks) {
  compare(DType::kF64, 1e-10, make_batch({3}));
}

TEST_P(ModelTensor, SteadyStateAllocatesNothing) {
  run_local_ranks(GetParam().ranks, [&](Group& group) {
    set_num_threads(1);
    Held held(GetParam().shape, DType::kF32,
              {.tensor_rank = group.rank(), .tensor_size = group.size()},
              {.tensor = &group, .recompute = GetParam().recompute, .hooks = {}});
    const MicroBatch batch = make_batch();
    (void)held.step(batch);
    const std::int64_t before = held.model->tape().num_system_allocations();
    (void)held.step(make_batch({7, 4}));
    (void)held.step(batch);
    (void)held.model->forward_loss(batch, 64);
    EXPECT_EQ(held.model->tape().num_system_allocations(), before);
  });
}

// Each element of the cut model's gradients, summed over the ranks that hold it, against central
// differences of the cut model's own loss.
TEST_P(ModelTensor, GradientsAreCentralDifferences) {
  const MicroBatch batch = make_batch();
  const Result cut = run(GetParam(), DType::kF64, GetParam().ranks, batch);
  run_local_ranks(GetParam().ranks, [&](Group& group) {
    set_num_threads(1);
    Held held(GetParam().shape, DType::kF64,
              {.tensor_rank = group.rank(), .tensor_size = group.size()},
              {.tensor = &group, .recompute = {}, .hooks = {}});
    ParameterSet& set = held.method->trainable();
    Random random(5, Purpose::kTest);
    for (int index = 0; index < set.size(); ++index) {
      const std::vector<double>& wanted = cut.gradients.at(set.tensor(index).name);
      double error = 0;
      double size = 0;
      for (int sample = 0; sample < 3; ++sample) {
        const auto element = static_cast<std::int64_t>(random.below(wanted.size()));
        double* mine = nullptr;  // ranks that do not hold the element take part in the loss only
        for_each_run(set.tensor(index).shape, set.part(index),
                     [&](auto logical, auto local, auto n) {
                       if (element >= logical && element < logical + n) {
                         mine = set.view(index).template as<double>() + local + element - logical;
                       }
                     });
        const auto loss_at = [&](double shift) {
          const double kept = mine == nullptr ? 0 : *mine;
          if (mine != nullptr) {
            *mine = kept + shift;
          }
          const double loss = held.model->forward_loss(batch, 64);
          if (mine != nullptr) {
            *mine = kept;
          }
          return loss;
        };
        const double numeric = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5 * 0.25;
        error += std::pow(numeric - wanted[static_cast<std::size_t>(element)], 2);
        size += numeric * numeric;
      }
      // Rounding of a difference of losses of about 100: 1e-14 * 100 / 1e-5.
      EXPECT_LT(std::sqrt(error), 1e-6 * std::sqrt(size) + 1e-7) << set.tensor(index).name;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(
    Cuts, ModelTensor,
    testing::Values(
        TensorCase{"tied_2", 2, {}}, TensorCase{"tied_4", 4, {}},
        TensorCase{"untied_2", 2, {.tied = false}}, TensorCase{"untied_4", 4, {.tied = false}},
        TensorCase{"grouped_2", 2, {.kv_heads = 2}},
        TensorCase{"fewer_kv_heads_4", 4, {.kv_heads = 2}},
        TensorCase{"one_kv_head_4", 4, {.kv_heads = 1, .tied = false}},
        TensorCase{"lora_2", 2, {.lora = true}},
        TensorCase{"lora_one_kv_head_4", 4, {.kv_heads = 1, .tied = false, .lora = true}},
        TensorCase{"selective_2", 2, {.kv_heads = 2}, Recompute::kSelective},
        TensorCase{"full_4", 4, {.kv_heads = 2, .tied = false}, Recompute::kFull},
        TensorCase{"lora_full_2", 2, {.lora = true}, Recompute::kFull},
        TensorCase{"llama_biased_2", 2, {.kv_heads = 1, .family = "llama_biased"}},
        TensorCase{"mistral_2", 2, {.kv_heads = 2, .family = "mistral"}},
        TensorCase{"qwen2_2", 2, {.kv_heads = 2, .family = "qwen2"}, Recompute::kSelective},
        TensorCase{"qwen3_2", 2, {.kv_heads = 2, .family = "qwen3"}, Recompute::kFull},
        TensorCase{"gemma_2", 2, {.kv_heads = 1, .family = "gemma"}},
        TensorCase{"gpt2_2", 2, {.family = "gpt2"}, Recompute::kFull},
        TensorCase{"gpt2_lora_2", 2, {.lora = true, .family = "gpt2"}},
        TensorCase{"gpt_neox_2", 2, {.tied = false, .family = "gpt_neox"}},
        TensorCase{"gpt_neox_selective_2",
                   2,
                   {.tied = false, .family = "gpt_neox"},
                   Recompute::kSelective},
        TensorCase{"phi_4", 4, {.kv_heads = 2, .tied = false, .family = "phi"}},
        TensorCase{"phi_lora_2",
                   2,
                   {.tied = false, .lora = true, .family = "phi"},
                   Recompute::kSelective}),
    [](const auto& instance) { return instance.param.name; });

TEST(ModelTensor, WeightsAreTheWholeModelsParts) {
  for (const bool lora : {false, true}) {
    const Shape4 shape{.kv_heads = 2, .lora = lora};
    Held whole(shape, DType::kF32);
    const ParameterSet& all = whole.method->trainable();
    for (int rank = 0; rank < 4; ++rank) {
      Held held(shape, DType::kF32, {.tensor_rank = rank, .tensor_size = 4});
      const ParameterSet& part = held.method->trainable();
      for (int index = 0; index < part.size(); ++index) {
        const float* wanted = all.view(all.find(part.tensor(index).name)).as<float>();
        const float* got = part.view(index).as<float>();
        for_each_run(part.tensor(index).shape, part.part(index), [&](auto from, auto to, auto n) {
          EXPECT_EQ(std::memcmp(got + to, wanted + from, static_cast<std::size_t>(n) * 4), 0)
              << part.tensor(index).name;
        });
      }
    }
  }
}

TEST(ModelTensor, PartialGradientsAreThoseOfSharedTensors) {
  Held held({.kv_heads = 2}, DType::kF32, {.tensor_rank = 1, .tensor_size = 4});
  std::vector<std::string> names;
  for (const int index : held.weights.partial_gradients()) {
    if (held.weights.unit_of(index) == 1) {
      names.push_back(held.weights.tensor(index).name);
    }
  }
  const std::string layer = "model.layers.0.";
  EXPECT_EQ(names,
            (std::vector<std::string>{
                layer + "input_layernorm.weight", layer + "self_attn.k_proj.weight",
                layer + "self_attn.v_proj.weight", layer + "post_attention_layernorm.weight"}));
  Held whole({}, DType::kF32);
  EXPECT_TRUE(whole.weights.partial_gradients().empty());
}

}  // namespace
}  // namespace finescale
