// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/step_tool.h"

#include <algorithm>
#include <cctype>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "comm/group.h"
#include "configs/parse.h"
#include "core/error.h"
#include "core/files.h"
#include "core/parallel.h"
#include "core/random.h"
#include "core/stopwatch.h"
#include "worker/data/loader.h"
#include "worker/engines.h"
#include "worker/import/open_model.h"
#include "worker/memory_use.h"
#include "worker/precision.h"
#include "worker/train_model.h"

namespace finescale {

namespace {

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
    return Dataset(examples);
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
  return Dataset(examples);
}

// Weights before an update and the gradient of its mean loss, for other programs to check.
void dump(const std::string& path, Group& group, TrainModel& model) {
  FS_CHECK(group.size() == 1, "weights are dumped by one rank");
  std::vector<CheckpointTensor> tensors = model.base_for_writing();
  if (!model.method().changes_base()) {
    for (CheckpointTensor& tensor : model.share_for_writing(false, false)) {
      tensors.push_back(std::move(tensor));
    }
  }
  for (CheckpointTensor& tensor : model.gradients("/gradient")) {
    tensors.push_back(std::move(tensor));
  }
  write_checkpoint(group, path, {}, tensors);
}

config::ModelConfig preset(const std::string& name) {
  config::ModelConfig config;
  const std::string path = share_directory() + "/presets/" + name + ".yaml";
  parse_yaml(read_file(path), path, config);
  return config;
}

std::string upper(std::string word) {
  for (char& letter : word) {
    letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  }
  return word;
}

config::Train training(const nlohmann::json& request) {
  config::Train train;
  parse_yaml("method: " + request.value("method", std::string("full")), "method", train);
  train.mutable_batch()->set_examples(request.at("sequences_per_step"));
  train.set_micro_batch_tokens(request.value("micro_batch_tokens", 2048));
  train.set_learning_rate(request.value("learning_rate", 1e-3));
  train.set_weight_decay(0.01);
  train.set_decay_on(config::DECAY_ON_ALL);
  config::Precision precision = config::PRECISION_F32;
  const std::string word = request.value("precision", "f32");
  if (!config::Precision_Parse("PRECISION_" + upper(word), &precision)) {
    throw Error(ErrorKind::kConfig, "tool step: precision is \"" + word + "\"", {},
                "use f32, f64 or bf16");
  }
  train.set_precision(precision);
  return train;
}

// Sequences of a batch, by their number in the request.
std::vector<std::int64_t> sequences_of(const GlobalBatch& batch) {
  std::vector<std::int64_t> numbers;
  for (const MicroBatch& micro : batch.micro_batches) {
    numbers.insert(numbers.end(), micro.examples.begin(), micro.examples.end());
  }
  return numbers;
}

// What was measured of each step.
struct Measured {
  std::vector<double> rates;  // tokens/s, after the warm-up
  std::vector<double> times;  // ms, alike
  std::vector<double> losses;
  std::vector<std::vector<std::int64_t>> batches;
  double norm = 0;
  double first_step_s = 0;  // since the process started
  GpuGraphs before;         // the measured steps

  void add(bool is_warm, double tokens, double seconds) {
    if (is_warm) {
      rates.push_back(tokens / seconds);
      times.push_back(seconds * 1e3);
    }
  }
};

// Kernels of a GPU one at a time, so that each is told of when it has ended.
class OneByOne final : public KernelObserver {
 public:
  OneByOne(Gpu& gpu, KernelObserver& told) : gpu_(&gpu), told_(&told) {}
  void begin() override {
    gpu_->synchronize();
    told_->begin();
  }
  void end(const KernelCall& call) override {
    gpu_->synchronize();
    told_->end(call);
  }

 private:
  Gpu* gpu_;
  KernelObserver* told_;
};

nlohmann::json kernels_of(const KernelProfile& profile, std::size_t num_steps) {
  nlohmann::json rows = nlohmann::json::array();
  for (const KernelProfile::Row& row : profile.rows()) {
    const double steps = static_cast<double>(num_steps);
    rows.push_back({{"name", row.name},
                    {"shape", row.shape},
                    {"calls", static_cast<double>(row.calls) / steps},
                    {"ms", row.seconds * 1e3 / steps},
                    {"gflop", row.flops / 1e9 / steps},
                    {"gb", row.bytes / 1e9 / steps}});
  }
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.at("ms") > b.at("ms"); });
  return rows;
}

Measured measure(const nlohmann::json& request, Group& world, const config::Train& train,
                 const TrainLoader& loader, TrainModel& model, KernelProfile* profile,
                 const Gpu* gpu) {
  Measured measured;
  GlobalBatch batch;
  const auto warmup = request.value("warmup", std::int64_t{3});
  for (std::int64_t step = 0; step < loader.num_steps(); ++step) {
    if (step == warmup && profile != nullptr) {
      profile->clear();
    }
    if (step == warmup && gpu != nullptr) {
      measured.before = gpu->graphs();
    }
    const Stopwatch watch;
    loader.fill(step, batch);
    const double scale = 1.0 / static_cast<double>(batch.num_labels);
    model.begin_step(step + 1);
    measured.losses.push_back(model.forward_backward(batch, scale) * scale);
    measured.batches.push_back(sequences_of(batch));
    model.find_gradient_norm();
    if (step == request.value("dump_at", std::int64_t{0}) && request.contains("dump")) {
      dump(request.at("dump"), world, model);
    }
    model.update(step + 1, train.learning_rate());
    measured.norm = model.gradient_norm();
    measured.first_step_s = step == 0 ? process_age() : measured.first_step_s;
    measured.add(step >= warmup, static_cast<double>(batch.num_tokens), watch.seconds());
  }
  FS_CHECK(!measured.rates.empty(), "more steps than warm-up are needed");
  return measured;
}

// Of the operations since `before`, those that were in graphs.
double share_replayed(const GpuGraphs& before, const GpuGraphs& after) {
  return static_cast<double>(after.replayed_operations - before.replayed_operations) /
         static_cast<double>(std::max<std::int64_t>(1, after.operations - before.operations));
}

nlohmann::json answer_of(const Measured& measured, const TrainModel& model, bool with_curve) {
  nlohmann::json answer{
      {"tok_s", median(measured.rates)},
      {"ms_step", median(measured.times)},
      {"ms_total", std::accumulate(measured.times.begin(), measured.times.end(), 0.0)},
      {"steps", measured.times.size()},
      {"loss", measured.losses.back()},
      {"first_step_s", measured.first_step_s},
      {"peak_rss_mib", static_cast<double>(resident_peak()) / 0x1p20},
      {"gradient_norm", measured.norm},
      {"isa", isa_name(active_isa())},
      {"memory_bytes", model.activation_bytes()}};
  if (with_curve) {
    answer["losses"] = measured.losses;
    answer["batches"] = measured.batches;
  }
  return answer;
}

std::string run(const nlohmann::json& request, Group& world, KernelProfile* wanted) {
  set_num_threads(request.value("threads", 1));
  const std::unique_ptr<WeightSource> weights =
      request.contains("model") ? open_model(request.at("model")).weights : nullptr;
  const config::ModelConfig config = weights ? weights->config() : preset(request.at("preset"));
  const config::Train train = training(request);
  const Dataset data = sequences(request, decoder_shape(config).vocab_size);
  const TrainLoader loader(data, train, 1);
  config::Mesh mesh;
  parse_yaml(request.value("mesh", "{}"), "mesh", mesh);
  const std::unique_ptr<Gpu> gpu = request.value("device", "cpu") == "cuda"
                                       ? std::make_unique<Gpu>(world.rank(), world.rank())
                                       : nullptr;
  Engines engines(world, gpu.get());
  Engine engine = engines.get(mesh);
  KernelProfile own;
  const bool with_kernels = request.value("kernels", false);
  KernelProfile* profile = wanted == nullptr && with_kernels ? &own : wanted;
  const std::unique_ptr<OneByOne> one_by_one =
      gpu && profile ? std::make_unique<OneByOne>(*gpu, *profile) : nullptr;
  engine.stream = gpu ? gpu->stream(one_by_one.get()) : Stream(DeviceType::kCpu, profile);
  engine = engine_for(engine, train);
  // A dump has the values.
  BaseForm form = base_form(engine, train);
  form.is_rounded = form.is_rounded && !request.contains("dump");
  BaseModel base = make_base_model(engine, config, storage_of(train.precision()), form);
  if (weights) {
    read_base(*weights, base);
  } else {
    initialize(base, 1);
  }
  TrainModel model(engine, base, train, 1, loader);
  const Measured measured = measure(request, world, train, loader, model, profile, gpu.get());
  nlohmann::json answer = answer_of(measured, model, request.value("curve", false));
  if (with_kernels) {
    answer["kernels"] = kernels_of(*profile, measured.times.size());
  }
  if (gpu) {
    answer["gpu"] = gpu->info().name;
    answer["gpu_replayed"] = share_replayed(measured.before, gpu->graphs());
    answer["gpu_peak_mib"] = static_cast<double>(gpu->memory().peak) / 0x1p20;
  }
  return answer.dump();
}

}  // namespace

std::string step_tool(const std::string& request, Group& world, KernelProfile* profile) {
  try {
    return run(nlohmann::json::parse(request), world, profile);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::kConfig, std::string("tool step: ") + error.what());
  }
}

}  // namespace finescale
