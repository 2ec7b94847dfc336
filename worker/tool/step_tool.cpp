// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/step_tool.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "comm/group.h"
#include "configs/parse.h"
#include "core/error.h"
#include "core/files.h"
#include "core/parallel.h"
#include "core/random.h"
#include "sharding/gradient_tree.h"
#include "worker/checkpoint_tensors.h"
#include "worker/data/loader.h"
#include "worker/methods/method.h"
#include "worker/model/transformer.h"
#include "worker/optim/adamw.h"

namespace finescale {

namespace {

using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

// The request's own token lists, else random ones of the given lengths.
Dataset sequences(const nlohmann::json& request, int vocab) {
  std::vector<Example> examples;
  if (request.contains("sequences")) {
    for (const auto& tokens : request.at("sequences")) {
      Example example;
      example.tokens = tokens.get<std::vector<std::int32_t>>();
      examples.push_back(std::move(example));
    }
    return Dataset(std::move(examples));
  }
  const auto lengths = request.at("lengths").get<std::vector<int>>();
  const auto count =
      request.at("sequences_per_step").get<std::size_t>() * request.at("steps").get<std::size_t>();
  Random random(1, Purpose::kTest);
  for (std::size_t i = 0; i < count; ++i) {
    Example example;
    for (int t = 0; t < lengths[i % lengths.size()]; ++t) {
      example.tokens.push_back(
          static_cast<std::int32_t>(3 + random.below(static_cast<std::uint64_t>(vocab) - 3)));
    }
    examples.push_back(std::move(example));
  }
  return Dataset(std::move(examples));
}

// Weights before the first update and the gradient of its mean loss, for other programs to check.
void dump(const std::string& path, Group& group, const ParameterSet& base, ParameterSet& trainable,
          const TensorView& gradient) {
  std::vector<CheckpointTensor> tensors = tensors_of("/model", base, base.flat(), true);
  for (const char* part : {"/adapter", "/gradient"}) {
    const bool is_gradient = part == std::string_view("/gradient");
    if (!is_gradient && &base == &trainable) {
      continue;
    }
    for (CheckpointTensor& tensor :
         tensors_of(part, trainable, is_gradient ? gradient : trainable.flat(), true)) {
      tensors.push_back(std::move(tensor));
    }
  }
  write_checkpoint(group, path, {}, tensors);
}

std::string run(const nlohmann::json& request) {
  set_num_threads(request.value("threads", 1));
  config::ModelConfig config;
  const std::string path =
      share_directory() + "/presets/" + request.at("preset").get<std::string>() + ".yaml";
  parse_yaml(read_file(path), path, config);
  ModelLayout layout(config.llama());
  ParameterSet weights(DType::kF32);
  layout.declare(weights);
  weights.allocate();
  initialize_weights(layout, 1, weights);
  config::Train train;
  if (request.value("method", "full") == "lora") {
    train.mutable_method()->mutable_lora();
  } else {
    train.mutable_method()->mutable_full();
  }
  train.mutable_batch()->set_examples(request.at("sequences_per_step"));
  train.set_micro_batch_tokens(request.value("micro_batch_tokens", 2048));
  train.set_learning_rate(1e-3);
  train.set_weight_decay(0.01);
  train.set_decay_on(config::DECAY_ON_ALL);
  const Dataset data = sequences(request, config.llama().vocab_size());
  const TrainLoader loader(data, train, 1);
  const auto method = make_method(train.method(), layout, weights, 1);
  Transformer model(layout, weights);
  if (!method->trains_base()) {
    model.set_adapters(method->adapters());
  }
  AdamW optimizer(train, method->trainable());
  const auto group = make_single_group();
  GradientTree tree(*group, method->trainable().num_elements(), DType::kF32,
                    loader.max_micro_batches());
  GlobalBatch batch;
  UnitBlocks blocks;
  std::vector<double> rates;
  std::vector<double> times;
  double loss = 0;
  double norm = 0;
  const auto warmup = request.value("warmup", std::int64_t{3});
  for (std::int64_t step = 0; step < loader.num_steps(); ++step) {
    const Clock::time_point begin = Clock::now();
    loader.fill(step, batch);
    tree.begin(static_cast<std::int64_t>(batch.micro_batches.size()));
    loss = 0;
    const double scale = 1.0 / static_cast<double>(batch.num_labels);
    for (const MicroBatch& micro : batch.micro_batches) {
      method->trainable().split(tree.next_leaf(Stream()), blocks);
      model.bind_gradient(method->bind_gradient(blocks));
      loss += model.forward_backward(micro, loader.max_micro_batch_tokens(), scale) * scale;
      tree.finish_leaf(Stream());
    }
    const TensorView gradient = tree.reduce(Stream());
    if (step == 0 && request.contains("dump")) {
      dump(request.at("dump"), *group, weights, method->trainable(), gradient);
    }
    norm =
        optimizer.update(Stream(), method->trainable(), gradient, step + 1, train.learning_rate());
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (step >= warmup) {
      rates.push_back(static_cast<double>(batch.num_tokens) / seconds);
      times.push_back(seconds * 1e3);
    }
  }
  FS_CHECK(!rates.empty(), "more steps than warm-up are needed");
  return nlohmann::json{{"tok_s", median(rates)},
                        {"ms_step", median(times)},
                        {"loss", loss},
                        {"gradient_norm", norm},
                        {"isa", isa_name(active_isa())},
                        {"memory_bytes", model.tape().memory_bytes()}}
      .dump();
}

}  // namespace

std::string step_tool(const std::string& request) {
  try {
    return run(nlohmann::json::parse(request));
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::kConfig, std::string("tool step: ") + error.what());
  }
}

}  // namespace finescale
