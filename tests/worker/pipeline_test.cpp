// SPDX-License-Identifier: Apache-2.0
// Pipelines of threads, where every send waits for its receiver: no shape of schedule ends in a
// deadlock, and all are the bits of one rank.
#include <mutex>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/parallel.h"
#include "core/random.h"
#include "worker/train_model.h"

namespace finescale {
namespace {

struct Spread {
  int pipeline = 1;
  int interleave = 1;
  int micro_batches = 1;
  int shard = 1;
  int zero = 0;
};

config::ModelConfig small_model(bool tied) {
  config::ModelConfig config;
  config::Llama& llama = *config.mutable_llama();
  llama.set_vocab_size(40);
  llama.set_hidden_size(16);
  llama.set_num_layers(8);
  llama.set_num_heads(2);
  llama.set_num_kv_heads(2);
  llama.set_intermediate_size(24);
  llama.set_max_positions(32);
  llama.set_tie_embeddings(tied);
  return config;
}

config::Train settings(bool lora) {
  config::Train train;
  if (lora) {
    train.mutable_method()->mutable_lora()->set_rank(2);
  } else {
    train.mutable_method()->mutable_full();
  }
  train.set_learning_rate(1e-2);
  return train;
}

// `count` examples of ten tokens, each a micro-batch of its own.
Dataset examples(int count) {
  Random random(3, Purpose::kTest);
  std::vector<Example> all(static_cast<std::size_t>(count));
  for (Example& example : all) {
    for (int t = 0; t < 10; ++t) {
      example.tokens.push_back(static_cast<std::int32_t>(random.below(40)));
    }
  }
  return Dataset(std::move(all));
}

struct Numbers {
  std::vector<double> losses;
  std::vector<double> norms;
  friend bool operator==(const Numbers&, const Numbers&) = default;
};

// Three steps on the ranks of a group.
Numbers steps(Group& group, const Spread& spread, bool tied, bool lora) {
  set_num_threads(1);
  Mesh mesh(group, {.shard = spread.shard, .pipeline = spread.pipeline});
  MessageQueues messages(&group.monitor());
  Engine engine;
  engine.mesh = &mesh;
  engine.zero_stage = spread.zero;
  engine.chunks = spread.pipeline > 1 ? spread.interleave : 1;
  engine.messages = spread.pipeline > 1 ? &messages : nullptr;
  config::Train train = settings(lora);
  train.mutable_batch()->set_examples(spread.micro_batches);
  train.set_micro_batch_tokens(10);
  train.set_steps(3);
  const Dataset data = examples(spread.micro_batches);
  const TrainLoader loader(data, train, 1);
  BaseModel base = make_base_model(engine, small_model(tied), DType::kF32);
  initialize(base, 1);
  TrainModel model(engine, base, train, 1, loader);
  GlobalBatch batch;
  Numbers numbers;
  for (std::int64_t step = 0; step < 3; ++step) {
    loader.fill(step, batch);
    numbers.losses.push_back(model.forward_backward(batch, 0.01));
    model.find_gradient_norm();
    numbers.norms.push_back(model.gradient_norm());
    model.update(step + 1, 1e-2);
  }
  numbers.losses.push_back(model.eval().loss_sum(batch.micro_batches, 10, [] {}));
  return numbers;
}

void expect_the_bits_of_one_rank(bool tied, bool lora) {
  for (const int micro_batches : {1, 2, 3, 5, 7, 8}) {
    const auto single = make_single_group();
    const Numbers alone = steps(*single, {1, 1, micro_batches}, tied, lora);
    for (const int ranks : {2, 3, 4}) {
      for (int interleave = 1; ranks * interleave <= 8; ++interleave) {
        std::mutex mutex;
        run_local_ranks(ranks, [&](Group& group) {
          const Numbers got = steps(group, {ranks, interleave, micro_batches}, tied, lora);
          const std::scoped_lock lock(mutex);
          EXPECT_TRUE(got == alone) << ranks << " ranks, " << interleave << " pieces each, "
                                    << micro_batches << " micro-batches";
        });
      }
    }
  }
}

TEST(Pipeline, TiedIsTheBitsOfOneRank) {
  expect_the_bits_of_one_rank(true, false);
}
TEST(Pipeline, UntiedIsTheBitsOfOneRank) {
  expect_the_bits_of_one_rank(false, false);
}
TEST(Pipeline, LoraIsTheBitsOfOneRank) {
  expect_the_bits_of_one_rank(true, true);
}

TEST(Pipeline, ShardedIsTheBitsOfOneRank) {  // replicas without a micro-batch too
  for (const bool lora : {false, true}) {
    for (const int micro_batches : {1, 2, 3, 5}) {
      const auto single = make_single_group();
      const Numbers alone = steps(*single, {1, 1, micro_batches}, true, lora);
      for (const int interleave : {1, 2}) {
        for (const int zero : {1, 2, 3}) {
          std::mutex mutex;
          run_local_ranks(4, [&](Group& group) {
            const Numbers got = steps(group, {2, interleave, micro_batches, 2, zero}, true, lora);
            const std::scoped_lock lock(mutex);
            EXPECT_TRUE(got == alone)
                << (lora ? "lora, " : "full, ") << interleave << " pieces each, " << micro_batches
                << " micro-batches, ZeRO " << zero;
          });
        }
      }
    }
  }
}

TEST(Pipeline, OtherBatchesAreOtherBits) {  // the comparison can fail
  const auto single = make_single_group();
  EXPECT_FALSE(steps(*single, {1, 1, 2}, true, false) == steps(*single, {1, 1, 3}, true, false));
}

}  // namespace
}  // namespace finescale
