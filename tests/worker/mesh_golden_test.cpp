// SPDX-License-Identifier: Apache-2.0
// Every mesh trains the same run: one resident job of eight ranks trains each case on a part of
// itself, and one rank trains it alone. Data, shard (ZeRO 0 to 3), pipeline, recomputation and
// overlap give the same bits; the tensor axis has bits of its own, the same on every other axis,
// and is one rank's run to rounding.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>

#include "tests/comm/mpi_main.h"
#include "tests/worker/stage_fixture.h"

namespace finescale {
namespace {

struct Variant {
  std::string name;
  std::string architecture;
  std::string method;
};

const Variant kFullTied{"full, tied", "num_heads: 4, num_kv_heads: 4, tie_embeddings: true",
                        "full"};
const Variant kFullUntied{"full, untied, grouped",
                          "num_heads: 4, num_kv_heads: 2, tie_embeddings: false", "full"};
const Variant kLoraTied{"lora, tied, grouped",
                        "num_heads: 4, num_kv_heads: 2, tie_embeddings: true", "{lora: {rank: 4}}"};
const Variant kLoraUntied{"lora, untied", "num_heads: 4, num_kv_heads: 4, tie_embeddings: false",
                          "{lora: {rank: 2, target_modules: [q_proj, v_proj, down_proj]}}"};
const Variant kVariants[] = {kFullTied, kFullUntied, kLoraTied, kLoraUntied};

struct Case {
  int data = 1, shard = 1, tensor = 1, pipeline = 1, zero = 0;
  std::string recompute = "none";
  std::string overlap = "off";
  int interleave = 1;
  std::string state = "full";  // of the optimizer
  [[nodiscard]] int ranks() const { return data * shard * tensor * pipeline; }
  [[nodiscard]] std::string text() const {
    return "{data: " + std::to_string(data) + ", shard: " + std::to_string(shard) +
           ", tensor: " + std::to_string(tensor) + ", pipeline: " + std::to_string(pipeline) +
           (shard > 1 ? ", zero: " + std::to_string(zero) : std::string()) +
           ", recompute: " + recompute + ", overlap: " + overlap +
           ", interleave: " + std::to_string(interleave) + "}";
  }
};

// Moments in fewer bytes, on cuts of every kind.
std::vector<Case> packed_cases() {
  std::vector<Case> all;
  for (const std::string state : {"bf16", "int8"}) {
    for (Case c : {Case{.data = 4}, Case{.data = 2, .shard = 2, .zero = 1},
                   Case{.shard = 4, .zero = 2}, Case{.shard = 8, .zero = 3},
                   Case{.data = 2, .pipeline = 4}, Case{.shard = 2, .pipeline = 2, .zero = 3},
                   Case{.data = 2, .tensor = 2}, Case{.shard = 2, .tensor = 2, .zero = 1},
                   Case{.shard = 2, .tensor = 2, .pipeline = 2, .zero = 2},
                   Case{.tensor = 4, .pipeline = 2}}) {
      c.state = state;
      all.push_back(c);
    }
  }
  return all;
}

// Every factorisation of 2, 4 and 8 ranks, the levers going round; sharded ones at every stage.
std::vector<Case> cases() {
  const std::string recompute[] = {"none", "selective", "full"};
  std::vector<Case> all;
  int turn = 0;
  for (const int ranks : {2, 4, 8}) {
    for (int tensor = 1; tensor <= std::min(ranks, 4); tensor *= 2) {
      for (int pipeline = 1; pipeline <= std::min(ranks / tensor, 4); pipeline *= 2) {
        for (int shard = 1; shard <= ranks / tensor / pipeline; shard *= 2) {
          for (int zero = shard > 1 ? 1 : 0; zero <= (shard > 1 ? 3 : 0); ++zero) {
            Case c;
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

class MeshGolden : public StageTest {
 protected:
  // Tokenizer, base and training stage of a variant; 20 steps of several micro-batches.
  [[nodiscard]] TrialStages stages(const Variant& variant, const Case& c) {
    const std::string mesh = c.text();
    const std::string path = directory_ + "/run-" + std::to_string(world_->rank()) + ".yaml";
    write_file_atomically(path, R"(name: meshes
base:
  architecture: {llama: {hidden_size: 32, intermediate_size: 64, num_layers: 4, vocab_size: 288, max_positions: 64, )" +
                                    variant.architecture + R"(}}
  tokenizer: {train: {vocab_size: 280}}
  pretrain: {data: text.jsonl, train: {steps: 2, learning_rate: 3e-3, batch: {tokens: 256}}}
data:
  train: train.jsonl
  eval: [{name: held_out, path: eval.jsonl}]
  max_length: 64
trial:
  stages:
    - train: {method: )" + variant.method +
                                    R"(, steps: 20, learning_rate: 3e-3, batch: {examples: 12},
              micro_batch_tokens: 40, weight_decay: 0.01, eval_every: 10, optimizer_state: )" +
                                    c.state + R"(}
mesh: )" + mesh + "\nresources: {ranks_per_gang: " +
                                    std::to_string(c.ranks()) + "}\n");
    return expand_run(load_run(path, {}), [](const std::string& file) { return hash_file(file); });
  }

  // Trains the last stage on the first `ranks` ranks of the world; the outcome is rank 0's.
  Outcome train(const TrialStages& trial, int ranks, const std::string& where) {
    const bool takes_part = world_->rank() < ranks;
    const auto group = world_->split(takes_part ? 0 : 1, world_->rank(), "case");
    if (takes_part) {
      StageExecutor executor(*group, {.threads = 1, .device = "cpu"}, *logger_);
      for (const config::StageSpec& spec : trial.stages) {
        (void)execute(*group, executor, spec, where);
      }
    }
    world_->barrier();
    return world_->rank() == 0 ? outcome(trial.stages.back(), where) : Outcome{};
  }

  // Prepared once: every case starts from the same base, made by one rank.
  void copy_inputs(const TrialStages& trial, const std::string& from, const std::string& to) {
    if (world_->rank() == 0) {
      make_directories(to);
      for (std::size_t i = 0; i + 1 < trial.stages.size(); ++i) {
        std::filesystem::copy(from + "/" + trial.stages[i].key(), to + "/" + trial.stages[i].key(),
                              std::filesystem::copy_options::recursive);
      }
    }
    world_->barrier();
  }

  // Each variant's run on the least ranks of equal tensor size, and on every mesh.
  void expect_runs_of_one_rank(const std::vector<Case>& all);

  int next_ = 0;
};

void MeshGolden::expect_runs_of_one_rank(const std::vector<Case>& all) {
  std::map<std::string, std::pair<Outcome, std::string>> alone;  // by variant and tensor size
  int turn = 0;
  for (const Case& c : all) {
    const Variant& variant = kVariants[turn++ % 4];
    const std::string name = variant.name + " x" + std::to_string(c.tensor) + " " + c.state;
    auto [reference, is_new] = alone.try_emplace(name);
    if (is_new) {
      Case one;
      one.tensor = c.tensor;
      one.state = c.state;
      reference->second.second = directory_ + "/alone-" + std::to_string(next_++);
      const TrialStages trial = stages(variant, one);
      reference->second.first = train(trial, c.tensor, reference->second.second);
    }
    const TrialStages trial = stages(variant, c);
    const std::string where = directory_ + "/case";
    copy_inputs(trial, reference->second.second, where);
    const Outcome got = train(trial, c.ranks(), where);
    if (world_->rank() == 0) {
      EXPECT_FALSE(got.tensors.empty());
      EXPECT_TRUE(got == reference->second.first)
          << variant.name << " on " << c.text() << " " << c.state;
      std::filesystem::remove_all(where);
    }
    world_->barrier();
  }
  if (world_->rank() == 0) {
    std::cout << all.size() << " meshes\n";
  }
}

TEST_F(MeshGolden, EveryMeshIsTheRunOfOneRank) {
  expect_runs_of_one_rank(cases());
}
TEST_F(MeshGolden, PackedMomentsAreTheRunOfOneRank) {
  expect_runs_of_one_rank(packed_cases());
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run_mpi_tests(argc, argv, 400);
}
