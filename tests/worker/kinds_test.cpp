// SPDX-License-Identifier: Apache-2.0
// What holds for every method, objective and update rule that the schema knows: gradients, frozen
// weights, resuming, equal bits on every mesh, the memory that was planned, and their
// documentation.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <mutex>

#include <gtest/gtest.h>

#include "configs/mesh_plan.h"
#include "configs/schema/options.pb.h"
#include "core/error.h"
#include "core/files.h"
#include "sharding/planner/memory.h"
#include "tests/worker/kind_fixture.h"
#include "worker/base_model.h"
#include "worker/tool/measured_steps.h"

namespace finescale::kind_test {
namespace {

std::string bytes_of(const std::vector<CheckpointTensor>& tensors) {
  std::string bytes;
  for (const CheckpointTensor& tensor : tensors) {
    bytes.append(tensor.local.as<char>(), tensor.local.size_bytes());
  }
  return bytes;
}

// Of what does not train of the base.
std::string frozen_bytes(TrainedRun& run) {
  std::string bytes;
  const BasePiece& piece = *run.base->pieces.front();
  Method& method = run.model->method();
  for (int index = 0; index < piece.weights.size(); ++index) {
    if (!piece.weights.is_stored(index)) {
      const QuantisedMatrix& kept = *piece.quantised->find(index);
      bytes.append(reinterpret_cast<const char*>(kept.codes),
                   static_cast<std::size_t>(kept.rows * kept.blocks() * block_bytes(kept.format)));
    } else if (!method.changes_base() || !method.trains_tensor(index)) {
      const TensorView value = piece.weights.view_in(piece.store.blocks(), index);
      bytes.append(value.as<char>(), value.size_bytes());
    }
  }
  return bytes;
}

// Some elements of every tensor that trains against central differences of the loss. Values are
// changed behind the method's back: what it holds fixed within a step stays fixed.
void expect_gradients(Choice choice) {
  choice.precision = config::PRECISION_F64;
  const auto single = make_single_group();
  TrainedRun run(*single, choice);
  perturb(trained(*run.model), 0.1);
  run.model->have_read();
  (void)run.pass(0);
  run.model->find_gradient_norm();
  std::map<std::string, std::vector<double>> gradients;
  for (const CheckpointTensor& tensor : run.model->gradients("")) {
    std::vector<double>& values = gradients[tensor.path];
    values.resize(static_cast<std::size_t>(tensor.shape.num_elements()));
    std::copy_n(tensor.local.as<double>(), tensor.local.num_elements(),
                values.begin() + tensor.begin);
  }
  EXPECT_FALSE(gradients.empty());
  Method& method = run.model->method();
  const auto pass = [&] {
    if (method.changes_base() && !method.trains_base()) {
      method.values_changed();  // what trains is a copy
    }
    return run.again();
  };
  Random random(13, Purpose::kTest);
  for (const CheckpointTensor& tensor : trained(*run.model)) {
    const auto found = gradients.find(tensor.path.substr(tensor.path.find('/', 1)));
    if (found == gradients.end()) {
      continue;  // a constant
    }
    double error = 0;
    double size = 0;
    for (int sample = 0; sample < 3; ++sample) {
      const auto i = static_cast<std::int64_t>(
          random.below(static_cast<std::uint64_t>(tensor.local.num_elements())));
      double& value = tensor.local.as<double>()[i];
      const double kept = value;
      value = kept + 1e-5;
      const double up = pass();
      value = kept - 1e-5;
      const double down = pass();
      value = kept;
      const double numeric = (up - down) / 2e-5 * run.scale();
      const double exact = found->second[static_cast<std::size_t>(tensor.begin + i)];
      error += std::pow(numeric - exact, 2);
      size += numeric * numeric;
    }
    // Rounding of a difference of losses of about 100: 1e-14 * 100 / 1e-5 * scale.
    EXPECT_LT(std::sqrt(error), 1e-6 * std::sqrt(size) + 1e-8) << tensor.path;
  }
}

// A tensor-parallel sum has an order of its own.
constexpr double kTensorTolerance = 1e-9;
// Nothing turns a bias of k where there are no rotations: its gradient is rounding, 1e-17, which
// AdamW divides by eps 1e-8 and multiplies by the rate 1e-2, four times.
constexpr double kTurnedByRounding = 1e-10;

struct Spread {
  const char* name;
  MeshShape mesh;
  int zero = 0;
};
const std::vector<Spread> kSpreads = {
    {"data 2", {.data = 2}},
    {"data 4", {.data = 4}},
    {"shard 2, ZeRO 1", {.shard = 2}, 1},
    {"shard 4, ZeRO 2", {.shard = 4}, 2},
    {"shard 2, ZeRO 3", {.shard = 2}, 3},
    {"data 2, shard 2, ZeRO 3", {.data = 2, .shard = 2}, 3},
    {"pipeline 2", {.pipeline = 2}},
    {"shard 2, pipeline 2, ZeRO 3", {.shard = 2, .pipeline = 2}, 3},
    {"tensor 2", {.tensor = 2}},
    {"shard 2, tensor 2, ZeRO 1", {.shard = 2, .tensor = 2}, 1},
};

class Kinds : public testing::TestWithParam<Choice> {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "finescale_kinds_" + std::to_string(::getpid());
    make_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  // Four steps on these ranks; what they leave.
  struct Left {
    std::vector<double> losses;
    std::map<std::string, std::vector<double>> numbers;
  };
  Left left_by(const Choice& choice, const Spread& spread) {
    Left left;
    const std::string path = directory_ + "/spread.h5";
    std::mutex mutex;
    const int ranks =
        spread.mesh.data * spread.mesh.shard * spread.mesh.tensor * spread.mesh.pipeline;
    run_local_ranks(ranks, [&](Group& group) {
      TrainedRun run(group, choice, spread.mesh, spread.zero);
      run.steps(0, 4);
      run.save(path);
      const std::scoped_lock lock(mutex);
      left.losses = run.losses;
    });
    left.numbers = numbers_of(path);
    return left;
  }

  std::string directory_;
};

TEST_P(Kinds, GradientsAreThoseOfTheLoss) {
  Choice choice = GetParam();
  for (const bool biased : {false, true}) {
    choice.biased = biased;
    SCOPED_TRACE(biased ? "gpt2" : "llama");
    if (fits(choice)) {
      expect_gradients(choice);
    } else {
      EXPECT_THROW(TrainedRun(*make_single_group(), choice), Error);
    }
  }
}

TEST_P(Kinds, WhatIsFrozenStaysAsItWasAndTheRestMoves) {
  const auto single = make_single_group();
  TrainedRun run(*single, GetParam());
  const std::string base = frozen_bytes(run);
  const std::string before = bytes_of(trained(*run.model));
  run.steps(0, 4);
  EXPECT_TRUE(frozen_bytes(run) == base);
  EXPECT_FALSE(bytes_of(trained(*run.model)) == before);
  for (const double number : run.losses) {
    EXPECT_TRUE(std::isfinite(number));
  }
}

TEST_P(Kinds, AResumeChangesNoBit) {
  const auto single = make_single_group();
  TrainedRun whole(*single, GetParam());
  whole.steps(0, 3);
  whole.save(directory_ + "/half.h5");
  whole.steps(3, 6);
  whole.save(directory_ + "/whole.h5");
  TrainedRun second(*single, GetParam());
  second.load(directory_ + "/half.h5");
  second.save(directory_ + "/again.h5");
  EXPECT_TRUE(numbers_of(directory_ + "/again.h5") == numbers_of(directory_ + "/half.h5"));
  second.steps(3, 6);
  second.save(directory_ + "/resumed.h5");
  EXPECT_TRUE(numbers_of(directory_ + "/resumed.h5") == numbers_of(directory_ + "/whole.h5"));
  EXPECT_TRUE(std::equal(second.losses.begin(), second.losses.end(), whole.losses.begin() + 6));
}

TEST_P(Kinds, EveryMeshIsTheRunOfOneRank) {
  Choice choice = GetParam();
  const Left alone = left_by(choice, {"one rank", {}});
  choice.precision = config::PRECISION_F64;
  const Left exact = left_by(choice, {"one rank", {}});
  for (const Spread& spread : kSpreads) {
    SCOPED_TRACE(spread.name);
    if (spread.zero >= 2 && GetParam().method.name.find("last_layers") != std::string::npos) {
      EXPECT_THROW((void)left_by(choice, spread), Error);
      continue;
    }
    if (spread.mesh.pipeline > 1 &&
        GetParam().method.name.find("prefix_projection") != std::string::npos) {
      EXPECT_THROW((void)left_by(choice, spread), Error);
      continue;
    }
    if (spread.mesh.tensor == 1) {
      const Left got = left_by(GetParam(), spread);
      EXPECT_TRUE(got.losses == alone.losses);
      EXPECT_TRUE(got.numbers == alone.numbers);
      continue;
    }
    const Left got = left_by(choice, spread);
    for (const auto& [path, values] : exact.numbers) {
      const std::vector<double>& others = got.numbers.at(path);
      double error = 0;
      double size = 1e-6;  // biases of k, where nothing turns it: rounding
      for (std::size_t i = 0; i < values.size(); ++i) {
        error = std::max(error, std::abs(values[i] - others[i]));
        size = std::max(size, std::abs(values[i]));
      }
      EXPECT_LT(error, kTensorTolerance * size + kTurnedByRounding) << path;
    }
  }
}

// Bytes of a rank by what they are for, against the planner's.
TEST_P(Kinds, MemoryIsWhatWasPlanned) {
  const auto single = make_single_group();
  TrainedRun run(*single, GetParam());
  run.steps(0, 6);
  const MemoryUse use = run.model->memory();
  planner::BatchShape batch;
  batch.micro_batches = run.loader.max_micro_batches();
  batch.micro_tokens = run.loader.max_micro_batch_tokens();
  batch.is_weighted = run.loader.is_weighted();
  const planner::Workload w =
      workload(run.train, decoder_shape(small_model(GetParam().biased)), batch, 6);
  const planner::Memory planned = planner::peak_memory(w, {}, {});
  const auto near = [](double actual, double wanted, double slack, const char* what) {
    EXPECT_NEAR(actual, wanted, slack * wanted + 512) << what;
  };
  near(static_cast<double>(use.weights), planned.weights, 0.01, "weights");
  near(static_cast<double>(use.gradients), planned.gradients, 0.01, "gradients");
  near(static_cast<double>(use.optimizer), planned.optimizer, 0.01, "optimizer");
  near(static_cast<double>(use.activations), planned.activations + planned.logits, 0.03,
       "activations");
}

// Every method with an objective of either sort, every objective and every update rule with both
// ways to train, and these and a base of few bits with products in bf16.
std::vector<Choice> choices() {
  std::vector<Choice> all;
  for (const Kind& method : methods()) {
    const bool is_plain = method.name == "full" || method.name == "lora";
    for (const Kind& objective : objectives()) {
      if (is_plain || objective.name == "sft" || objective.name == "dpo") {
        Choice choice = {.method = method, .objective = objective};
        choice.biased = !fits(choice);
        all.push_back(choice);
      }
    }
  }
  for (const Kind& rule : update_rules()) {
    for (const char* method : {"full", "lora"}) {
      if (rule.name != "adamw") {
        all.push_back({.method = find(methods(), method), .rule = rule});
      }
    }
  }
  for (const Kind& average : averages()) {
    for (const char* method : {"full", "lora"}) {
      all.push_back({.method = find(methods(), method), .average = average});
    }
  }
  for (const char* objective : {"sft", "dpo", "distill"}) {
    all.push_back({.method = find(methods(), "lora"),
                   .objective = find(objectives(), objective),
                   .weighted = true});
  }
  for (const char* method : {"full", "lora", "qlora"}) {
    for (const char* objective : {"sft", "dpo"}) {
      all.push_back({.method = find(methods(), method),
                     .objective = find(objectives(), objective),
                     .precision = config::PRECISION_BF16});
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, Kinds, testing::ValuesIn(choices()), [](const auto& instance) {
  const Choice& c = instance.param;
  return c.method.name + "_x_" + c.objective.name + "_x_" + c.rule.name +
         (c.average ? "_x_" + c.average->name : "") + (c.weighted ? "_x_weighted" : "") +
         (c.precision == config::PRECISION_BF16 ? "_x_bf16" : "");
});

// As plan does, which knows no reference and has no weights yet.
TEST(KindsOfObjectives, AreTimedBeforeTheyRun) {
  for (const Kind& objective : kinds_of(*config::Objective::descriptor())) {
    if (objective.adjust) {  // variants cost the same
      continue;
    }
    SCOPED_TRACE(objective.name);
    const config::Train train = settings({.objective = objective});
    const Dataset data = examples(make_objective(train.objective())->needs_pairs(), false);
    const TrainLoader loader(data, train, 1);
    MeasuredSteps steps(small_model(false), train, loader, small_model(false));
    EXPECT_GT(steps.seconds_per_token(), 0);
  }
}

TEST(KindsAreDocumented, InTheSchemaAndOnThePage) {
  const std::string page = read_file(std::string(FINESCALE_SOURCE_DIR) + "/docs/methods.md");
  for (const Descriptor* type : {config::Method::descriptor(), config::Objective::descriptor(),
                                 config::UpdateRule::descriptor(), config::Average::descriptor()}) {
    for (const Kind& kind : kinds_of(*type)) {
      EXPECT_NE(page.find("| `" + kind.field->name() + "` |"), std::string::npos)
          << kind.field->name() << " has no row in docs/methods.md";
      EXPECT_FALSE(kind.field->options().GetExtension(config::doc).empty());
      const Descriptor& message = *kind.field->message_type();
      EXPECT_FALSE(message.options().GetExtension(config::about).empty()) << message.name();
      for (int i = 0; i < message.field_count(); ++i) {
        EXPECT_FALSE(message.field(i)->options().GetExtension(config::doc).empty())
            << message.field(i)->full_name();
      }
    }
  }
}

}  // namespace
}  // namespace finescale::kind_test
