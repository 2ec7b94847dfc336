// SPDX-License-Identifier: Apache-2.0
// A small real run on made-up text: its stages, executed by any group into directories of its own,
// and what they left, without clocks.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest.h"
#include "comm/mpi/mpi_group.h"
#include "configs/parse.h"
#include "configs/stages.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/random.h"
#include "worker/stage_executor.h"

namespace finescale {

// Two equal outcomes are the same bits: every tensor, every loss, norm and count of every step.
struct Outcome {
  std::map<std::string, std::string> tensors;  // path -> bytes
  std::string rows;                            // StageResult without seconds and environment
  std::string environment;                     // of no weight in a comparison
  friend bool operator==(const Outcome& a, const Outcome& b) {
    return a.tensors == b.tensors && a.rows == b.rows;
  }
};

class StageTest : public testing::Test {
 protected:
  static constexpr int kTrainLines = 160;

  explicit StageTest(std::unique_ptr<Group> world = make_world_group())
      : world_(std::move(world)) {}
  void SetUp() override {
    directory_ = testing::TempDir() + "finescale_stage_" + std::to_string(::getpid());
    world_->broadcast(directory_, 0);
    if (world_->rank() == 0) {
      make_directories(directory_);
      write_data();
    }
    world_->barrier();
  }
  void TearDown() override {
    world_->barrier();
    if (world_->rank() == 0) {
      std::filesystem::remove_all(directory_);
    }
  }

  // Words of 2 to 20 letters and their reversal: ragged, in several micro-batches.
  void write_data() const {
    Random random(5, Purpose::kTest);
    std::string train;
    std::string eval;
    std::string text;
    for (int i = 0; i < kTrainLines + 32; ++i) {
      std::string word;
      const auto length = 2 + random.below(19);
      for (std::uint64_t c = 0; c < length; ++c) {
        word += static_cast<char>('a' + random.below(9));
      }
      const std::string back(word.rbegin(), word.rend());
      (i < kTrainLines ? train : eval)
          .append(R"({"prompt": ")" + word + R"(", "response": ")" + back + "\"}\n");
      text.append(R"({"text": ")" + word + " " + back + "\"}\n");
    }
    write_file_atomically(directory_ + "/train.jsonl", train);
    write_file_atomically(directory_ + "/eval.jsonl", eval);
    write_file_atomically(directory_ + "/text.jsonl", text);
  }

  // Stages of one trial: tokenizer, pretrain, train, evaluate. `train` is the YAML of the stage.
  [[nodiscard]] TrialStages stages(const std::string& train) {
    const std::string path = directory_ + "/run-" + std::to_string(world_->rank()) + ".yaml";
    write_file_atomically(path, R"(name: bits
base:
  preset: tiny
  tokenizer: {train: {vocab_size: 280}}
  pretrain: {data: text.jsonl, train: {steps: 6, learning_rate: 3e-3, batch: {tokens: 512}, micro_batch_tokens: 128}}
data:
  train: train.jsonl
  eval: [{name: held_out, path: eval.jsonl}]
trial:
  stages:
    - train: )" + train + R"(
    - evaluate: {metrics: [loss, exact_match], max_new_tokens: 8}
)");
    return expand_run(load_run(path, {}), [](const std::string& file) { return hash_file(file); });
  }

  // Runs every stage below `where`, as one group; `hooks` are for the last training stage.
  static proto::StageResult execute(Group& group, StageExecutor& executor,
                                    const config::StageSpec& spec, const std::string& where,
                                    const StageHooks& hooks = {}) {
    const std::string artifact = where + "/" + spec.key();
    proto::StageResult result;
    if (std::filesystem::exists(artifact)) {
      result.ParseFromString(read_file(artifact + "/result.pb"));
      group.barrier();
      return result;
    }
    AttemptPlace place;
    place.attempt_dir = where + "/attempt-" + spec.key();
    for (const std::string& input : spec.inputs()) {
      place.input_dirs.push_back(where + "/" + input);
    }
    group.barrier();
    if (group.rank() == 0) {
      make_directories(place.attempt_dir);
    }
    group.barrier();
    result = executor.execute(spec, place, hooks);
    if (group.rank() == 0 && result.outcome() != proto::StageResult::STOPPED) {
      publish_artifact(place.attempt_dir, artifact);
    }
    group.barrier();
    return result;
  }

  // What the stage's artifact below `where` holds, its numbers read as `dtype`.
  static Outcome outcome(const config::StageSpec& spec, const std::string& where,
                         DType dtype = DType::kF32) {
    Outcome all;
    proto::StageResult result;
    result.ParseFromString(read_file(where + "/" + spec.key() + "/result.pb"));
    all.environment = result.environment();
    result.clear_seconds();
    result.clear_environment();
    result.clear_memory();
    for (auto& row : *result.mutable_steps()) {
      row.clear_seconds();
    }
    all.rows = result.SerializeAsString();
    const std::string file = where + "/" + spec.key() + "/checkpoint.h5";
    if (std::filesystem::exists(file)) {
      all.tensors = tensors_of(file, {"/model", "/adapter"}, dtype);
    }
    return all;
  }

  // Bytes of every tensor of these groups of a checkpoint, by path.
  static std::map<std::string, std::string> tensors_of(const std::string& file,
                                                       const std::vector<std::string>& groups,
                                                       DType dtype = DType::kF32) {
    std::map<std::string, std::string> all;
    const auto single = make_single_group();
    CheckpointReader reader(*single, file);
    for (const std::string& group : groups) {
      for (const LogicalTensor& tensor : reader.tensors(group)) {
        std::string bytes(static_cast<std::size_t>(tensor.shape.num_elements()) * dtype_size(dtype),
                          '\0');
        CheckpointTensor wanted;
        wanted.path = group + "/" + tensor.name;
        wanted.shape = tensor.shape;
        wanted.part = whole(tensor.shape);
        wanted.local = TensorView(bytes.data(), dtype, tensor.shape);
        reader.read({wanted});
        all[wanted.path] = std::move(bytes);
      }
    }
    return all;
  }

  static LocalPart whole(const Shape& shape) {
    LocalPart part{shape, shape};
    for (int axis = 0; axis < shape.rank; ++axis) {
      part.offset.dims[static_cast<std::size_t>(axis)] = 0;
    }
    return part;
  }

  // The whole trial by one group in a fresh executor; the outcomes of its train and evaluate
  // stages.
  std::vector<Outcome> run_all(Group& group, const TrialStages& trial, const std::string& where,
                               int threads, const std::string& device = "cpu") {
    StageExecutor executor(group, {.threads = threads, .device = device}, *logger_);
    std::vector<Outcome> outcomes;
    for (const config::StageSpec& spec : trial.stages) {
      (void)execute(group, executor, spec, where);
      if (!spec.has_prepare()) {
        outcomes.push_back(outcome(spec, where));
      }
    }
    return outcomes;
  }

  std::unique_ptr<Group> world_;
  std::unique_ptr<Group> single_ = make_single_group();
  std::shared_ptr<Logger> logger_ = make_null_logger();
  std::string directory_;
};

}  // namespace finescale
