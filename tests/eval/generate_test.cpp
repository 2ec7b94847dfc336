// SPDX-License-Identifier: Apache-2.0
// Answers do not depend on what else is in the batch, on how prompts are cut into blocks, or on the
// mesh.
#include "worker/eval/generate.h"

#include <cmath>
#include <mutex>

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/worker/model_fixture.h"
#include "worker/eval/decoder.h"

namespace finescale {
namespace {

using model_test::Held;
using model_test::Shape4;

std::vector<std::vector<std::int32_t>> prompts(int count = 11) {
  Random random(5, Purpose::kTest);
  std::vector<std::vector<std::int32_t>> all;
  for (int p = 0; p < count; ++p) {
    auto& prompt = all.emplace_back();
    for (int i = 0; i < 1 + p * 7 % 23; ++i) {
      prompt.push_back(static_cast<std::int32_t>(random.below(44)));
    }
  }
  return all;
}

GenerationOptions sampled() {
  GenerationOptions options;
  options.sampling = {.temperature = 1.2, .top_k = 30, .top_p = 0.95, .repetition_penalty = 1.1};
  options.max_new = 14;
  options.seed = 9;
  options.stop_tokens = {3, 17};
  return options;
}

std::vector<std::vector<std::int32_t>> tokens_of(const std::vector<Generated>& answers) {
  std::vector<std::vector<std::int32_t>> all;
  for (const Generated& answer : answers) {
    all.push_back(answer.tokens);
  }
  return all;
}

// A whole model on one rank.
struct Whole {
  explicit Whole(const Shape4& shape = {.kv_heads = 2, .lora = true}, DType dtype = DType::kF32)
      : held(shape, dtype), group(make_single_group()), mesh(*group, {}) {
    engine.mesh = &mesh;
    eval = std::make_unique<EvalModel>(engine,
                                       std::vector<EvalPiece>{EvalPiece{held.model.get(), [] {}}});
  }
  Held held;
  std::unique_ptr<Group> group;
  Mesh mesh;
  Engine engine;
  std::unique_ptr<EvalModel> eval;
};

TEST(Generate, AnAnswerDoesNotDependOnItsCompany) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    Whole whole({.kv_heads = 2, .lora = true}, dtype);
    Generator generator(*whole.eval);
    GenerationOptions options = sampled();
    options.batch = 1;  // one after the other: each alone
    const auto alone = tokens_of(generator.run(prompts(), options));
    for (const std::int64_t batch : {2, 3, 64}) {  // finished sequences make room for others
      options.batch = batch;
      EXPECT_EQ(tokens_of(generator.run(prompts(), options)), alone) << "batch of " << batch;
    }
    std::size_t longest = 0;
    for (const auto& answer : alone) {
      longest = std::max(longest, answer.size());
    }
    EXPECT_EQ(longest, 14U);
  }
}

TEST(Generate, BlocksOfAPromptHaveTheBitsOfSingleTokens) {
  Whole whole;
  Generator generator(*whole.eval);
  GenerationOptions options = sampled();
  options.batch = 4;
  options.rows = 4;  // all but token by token
  const auto single = tokens_of(generator.run(prompts(), options));
  for (const std::int64_t rows : {5, 16, 256}) {
    options.rows = rows;
    EXPECT_EQ(tokens_of(generator.run(prompts(), options)), single) << rows << " rows";
  }
}

// A block of which only the last row's logits are wanted.
void expect_logits_of_forward_pass(Whole& whole) {
  DecoderBatch batch;
  MicroBatch same;
  Random random(1, Purpose::kTest);
  for (std::int32_t i = 0; i < 40; ++i) {
    batch.add(static_cast<std::int32_t>(random.below(44)), i, 0);
    same.positions.push_back(i);
  }
  same.tokens = batch.tokens;
  same.segments = {0, 40};
  same.labels.assign(40, kIgnoreLabel);
  batch.outputs = {39};
  Decoder decoder(*whole.held.model, {.rows = 40, .outputs = 1, .sequences = 1, .positions = 64});
  decoder.begin(batch);
  decoder.pass();
  const TensorView logits = decoder.logits();
  double most = -1e300;
  for (int v = 0; v < 44; ++v) {
    most = std::max(most, logits.as<double>()[v]);
  }
  double sum = 0;
  for (int v = 0; v < 44; ++v) {
    sum += std::exp(logits.as<double>()[v] - most);
  }
  for (const int v : {0, 7, 43}) {
    same.labels.back() = v;
    same.num_labels = 1;
    EXPECT_NEAR(whole.held.model->forward_loss(same, 64),
                most + std::log(sum) - logits.as<double>()[v], 1e-10);
  }
}

TEST(Generate, LogitsOfABlockAreTheForwardPass) {
  Whole llama({}, DType::kF64);
  expect_logits_of_forward_pass(llama);
  for (const std::string& family : model_test::other_families()) {
    SCOPED_TRACE(family);
    Whole whole({.tied = family != "phi", .family = family}, DType::kF64);
    expect_logits_of_forward_pass(whole);
  }
}

// B between diagonals is not made for tokens; x A^T and what is added are multiplied instead.
TEST(Generate, LogitsOfScaledAdaptersAreTheForwardPass) {
  Whole whole({.vera = true}, DType::kF64);
  expect_logits_of_forward_pass(whole);
}

TEST(Generate, ThreadsChangeNothing) {
  Whole whole;
  Generator generator(*whole.eval);
  set_num_threads(1);
  const auto one = tokens_of(generator.run(prompts(), sampled()));
  set_num_threads(3);
  EXPECT_EQ(tokens_of(generator.run(prompts(), sampled())), one);
  set_num_threads(1);
}

// Enough sequences for each thread to take some through the layers by itself.
TEST(Generate, PartsOfAPassHaveTheBitsOfTheWhole) {
  for (const std::string family : {"llama", "gemma", "phi", "gpt_neox_sequential"}) {
    SCOPED_TRACE(family);
    Whole whole({.kv_heads = family == "llama" ? 2 : 4, .tied = family != "phi", .family = family});
    Generator generator(*whole.eval);
    GenerationOptions options = sampled();
    set_num_threads(1);
    const auto one = tokens_of(generator.run(prompts(80), options));
    for (const int threads : {2, 3, 5}) {
      set_num_threads(threads);
      EXPECT_EQ(tokens_of(generator.run(prompts(80), options)), one) << threads << " threads";
    }
    set_num_threads(1);
  }
}

TEST(Generate, EndsForEveryReason) {
  Whole whole;
  Generator generator(*whole.eval);
  GenerationOptions options;
  options.max_new = 5;
  const std::vector<std::vector<std::int32_t>> prompt = {{1, 2, 3}};
  const Generated five = generator.run(prompt, options)[0];
  EXPECT_EQ(five.reason, FinishReason::kMaxNew);
  ASSERT_EQ(five.tokens.size(), 5U);

  options.stop_tokens = {five.tokens[3], 40};
  const Generated stopped = generator.run(prompt, options)[0];
  EXPECT_EQ(stopped.reason, FinishReason::kStopToken);
  EXPECT_LE(stopped.tokens.size(), 3U);

  options.stop_tokens.clear();
  options.max_new = 500;
  const Generated full = generator.run(prompt, options)[0];  // 64 positions
  EXPECT_EQ(full.reason, FinishReason::kPositions);
  EXPECT_EQ(full.tokens.size(), 62U);

  const std::vector<std::vector<std::int32_t>> long_prompts = {std::vector<std::int32_t>(65, 1),
                                                               std::vector<std::int32_t>(64, 1)};
  const auto none = generator.run(long_prompts, options);
  EXPECT_EQ(none[0].reason, FinishReason::kPositions);
  EXPECT_TRUE(none[0].tokens.empty());
  EXPECT_EQ(none[1].tokens.size(), 1U);

  int asked = 0;
  GenerationHooks hooks;
  hooks.interrupted = [&] { return ++asked > 4; };
  options.batch = 2;
  const auto cut = generator.run(prompts(), options, nullptr, hooks);
  EXPECT_EQ(cut[0].reason, FinishReason::kInterrupted);
  EXPECT_EQ(cut[0].tokens.size(), 4U);
  EXPECT_EQ(cut[9].reason, FinishReason::kInterrupted);
  EXPECT_TRUE(cut[9].tokens.empty());
}

TEST(Generate, TextComesAsItIsMadeAndEndsAtAStopString) {
  Whole whole;
  Generator generator(*whole.eval);
  // 44 tokens of the model are the tokenizer's first: the special one and single bytes.
  const Tokenizer tokenizer = Tokenizer::train({"text"}, 260, {"<|end|>"});
  GenerationOptions options = sampled();
  options.stop_tokens.clear();
  std::vector<std::string> shown(11);
  GenerationHooks hooks;
  hooks.on_text = [&](std::size_t prompt, std::string_view text) { shown[prompt] += text; };
  const auto answers = generator.run(prompts(), options, &tokenizer, hooks);
  for (std::size_t p = 0; p < answers.size(); ++p) {
    EXPECT_EQ(answers[p].text, tokenizer.decode(answers[p].tokens));
    EXPECT_EQ(shown[p], answers[p].text);
  }
  const std::string& text = answers[2].text;
  ASSERT_GT(text.size(), 8U);
  options.stop_strings = {text.substr(4, 3)};
  const auto stopped = generator.run(prompts(), options, &tokenizer);
  EXPECT_EQ(stopped[2].reason, FinishReason::kStopString);
  EXPECT_EQ(stopped[2].text, text.substr(0, text.find(options.stop_strings[0])));
  EXPECT_EQ(tokenizer.decode(stopped[2].tokens).find(options.stop_strings[0]),
            stopped[2].text.size());
}

// Answers on the ranks of a mesh; every rank has them.
void expect_on_mesh(int tensor, int pipeline, const GenerationOptions& options,
                    const std::vector<std::vector<std::int32_t>>& wanted) {
  const Shape4 shape{.kv_heads = 2, .lora = true, .layers = 4};
  std::mutex mutex;
  run_local_ranks(tensor * pipeline, [&](Group& group) {
    set_num_threads(1);
    Mesh mesh(group, {.tensor = tensor, .pipeline = pipeline});
    MessageQueues messages(&group.monitor());
    Engine engine;
    engine.mesh = &mesh;
    engine.messages = pipeline > 1 ? &messages : nullptr;
    const int piece = mesh.coord().pipeline;
    const ModelPart part{.tensor_rank = mesh.coord().tensor,
                         .tensor_size = tensor,
                         .first_layer = 4 / pipeline * piece,
                         .num_layers = 4 / pipeline,
                         .has_embedding = piece == 0,
                         .has_head = piece == pipeline - 1};
    TransformerOptions places;
    places.tensor = tensor > 1 ? &mesh.tensor() : nullptr;
    Held held(shape, DType::kF64, part, places);
    EvalModel eval(engine, {EvalPiece{held.model.get(), [] {}}});
    const auto got = tokens_of(Generator(eval).run(prompts(), options));
    const std::scoped_lock lock(mutex);
    EXPECT_EQ(got, wanted) << "tensor " << tensor << ", pipeline " << pipeline;
  });
}

TEST(Generate, MeshesGiveTheAnswersOfOneRank) {
  Whole whole({.kv_heads = 2, .lora = true, .layers = 4}, DType::kF64);
  for (const std::int64_t batch : {3, 64}) {
    for (const bool greedy : {true, false}) {
      GenerationOptions options = sampled();
      options.batch = batch;
      if (greedy) {
        options.sampling = {};
      }
      const auto wanted = tokens_of(Generator(*whole.eval).run(prompts(), options));
      for (const auto& [tensor, pipeline] : {std::pair{2, 1}, {1, 2}, {1, 4}, {2, 2}}) {
        expect_on_mesh(tensor, pipeline, options, wanted);
      }
    }
  }
}

}  // namespace
}  // namespace finescale
