// SPDX-License-Identifier: Apache-2.0
// Runs on meshes: one resident job of eight ranks trains each case on a part of itself.
#pragma once

#include <algorithm>
#include <string>

#include "tests/worker/stage_fixture.h"

namespace finescale {

struct Variant {
  std::string name;
  std::string architecture;
  std::string method;
  std::string family = "llama";
};

inline const Variant kFullTied{"full, tied", "num_heads: 4, num_kv_heads: 4, tie_embeddings: true",
                               "full"};
inline const Variant kFullUntied{"full, untied, grouped",
                                 "num_heads: 4, num_kv_heads: 2, tie_embeddings: false", "full"};
inline const Variant kLoraTied{"lora, tied, grouped",
                               "num_heads: 4, num_kv_heads: 2, tie_embeddings: true",
                               "{lora: {rank: 4}}"};
inline const Variant kLoraUntied{"lora, untied",
                                 "num_heads: 4, num_kv_heads: 4, tie_embeddings: false",
                                 "{lora: {rank: 2, target_modules: [q_proj, v_proj, down_proj]}}"};
inline const Variant kFamilies[] = {
    {"gpt2, tied", "num_heads: 4", "full", "gpt2"},
    {"gpt_neox", "num_heads: 4, tie_embeddings: false, rotary_fraction: 0.5", "full", "gpt_neox"},
    {"phi", "num_heads: 4, num_kv_heads: 2", "full", "phi"},
    {"gemma, tied", "num_heads: 4, num_kv_heads: 2, head_dim: 8", "full", "gemma"},
    {"qwen3, windows, lora",
     "num_heads: 4, num_kv_heads: 2, sliding_window: 9, first_window_layer: 2", "{lora: {rank: 4}}",
     "qwen3"},
    {"gpt2, lora", "num_heads: 4", "{lora: {rank: 2}}", "gpt2"}};
inline const Variant kVariants[] = {kFullTied, kFullUntied, kLoraTied, kLoraUntied};

struct MeshCase {
  int data = 1, shard = 1, tensor = 1, pipeline = 1, zero = 0;
  std::string recompute = "none";
  std::string overlap = "off";
  int interleave = 1;
  std::string offload = "none";
  [[nodiscard]] int ranks() const { return data * shard * tensor * pipeline; }
  // As the sweep file says it, which is also how the record of a run names it.
  [[nodiscard]] std::string text() const {
    return "{data: " + std::to_string(data) + ", shard: " + std::to_string(shard) +
           ", tensor: " + std::to_string(tensor) + ", pipeline: " + std::to_string(pipeline) +
           ", zero: " + std::to_string(zero) + ", recompute: " + recompute +
           ", overlap: " + overlap + ", interleave: " + std::to_string(interleave) +
           ", offload: " + offload + "}";
  }
};

struct MeshRun {
  std::string precision = "f32";
  std::string optimizer_state = "full";
  std::string learning_rate = "3e-3";
  int steps = 20;
};

class MeshTest : public StageTest {
 protected:
  // Tokenizer, base and training stage of a variant; steps of several micro-batches.
  [[nodiscard]] TrialStages stages(const Variant& variant, const MeshCase& mesh,
                                   const MeshRun& run = {}) {
    const std::string path = directory_ + "/run-" + std::to_string(world_->rank()) + ".yaml";
    write_file_atomically(
        path,
        R"(name: meshes
base:
  architecture: {)" +
            variant.family +
            R"(: {hidden_size: 32, intermediate_size: 64, num_layers: 4, vocab_size: 288, max_positions: 64, )" +
            variant.architecture + R"(}}
  tokenizer: {train: {vocab_size: 280}}
  pretrain: {data: text.jsonl, train: {steps: 2, learning_rate: 3e-3, batch: {tokens: 256}, precision: )" +
            run.precision + R"(}}
data:
  train: train.jsonl
  eval: [{name: held_out, path: eval.jsonl}]
  max_length: 64
trial:
  stages:
    - train: {method: )" +
            variant.method + ", steps: " + std::to_string(run.steps) +
            ", learning_rate: " + run.learning_rate +
            R"(, batch: {examples: 12},
              micro_batch_tokens: 40, weight_decay: 0.01, eval_every: 10, precision: )" +
            run.precision + ", optimizer_state: " + run.optimizer_state + "}\nmesh: " +
            mesh.text() + "\nresources: {ranks_per_gang: " + std::to_string(mesh.ranks()) + "}\n");
    return expand_run(load_run(path, {}), [](const std::string& file) { return hash_file(file); });
  }

  // Trains the last stage on the first `ranks` ranks of the world; the outcome is rank 0's.
  Outcome train(const TrialStages& trial, int ranks, const std::string& where,
                DType dtype = DType::kF32) {
    const bool takes_part = world_->rank() < ranks;
    const auto group = world_->split(takes_part ? 0 : 1, world_->rank(), "case");
    if (takes_part) {
      StageExecutor executor(*group, {.threads = 1, .device = "cpu"}, *logger_);
      for (const config::StageSpec& spec : trial.stages) {
        (void)execute(*group, executor, spec, where);
      }
    }
    world_->barrier();
    return world_->rank() == 0 ? outcome(trial.stages.back(), where, dtype) : Outcome{};
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
};

}  // namespace finescale
