// SPDX-License-Identifier: Apache-2.0
#include "worker/stage_executor.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "checkpoint/manifest.h"
#include "configs/gpu_support.h"
#include "core/crash_point.h"
#include "core/device.h"
#include "core/error.h"
#include "core/files.h"
#include "core/parallel.h"
#include "core/stopwatch.h"
#include "worker/data_stages.h"
#include "worker/engines.h"
#include "worker/eval/calibration.h"
#include "worker/eval/decoder.h"
#include "worker/eval/evaluate.h"
#include "worker/eval/suites.h"
#include "worker/measured_model.h"
#include "worker/memory_use.h"
#include "worker/model_fit.h"
#include "worker/rank_gpu.h"
#include "worker/resident.h"
#include "worker/train_stage.h"
#include "worker/transform_stage.h"

namespace finescale {

namespace {

// The largest rank's: the one that a limit must bound.
void log_memory(const proto::StageResult& result, Logger& logger) {
  const auto mib = [](std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  const proto::RankMemory* m = largest_rank(result);
  if (m != nullptr && m->weights() > 0) {
    logger.info(
        "memory: rank {} used most, {:.0f} MiB: weights {:.0f}, gathered {:.0f}, gradients {:.0f}, "
        "optimizer {:.0f}, activations {:.0f}, communication {:.0f}",
        m->rank(), mib(m->resident()), mib(m->weights()), mib(m->gather()), mib(m->gradients()),
        mib(m->optimizer()), mib(m->activations()), mib(m->communication()));
  }
}

void log_graphs(const Gpu* gpu, Logger& logger) {
  if (gpu == nullptr) {
    return;
  }
  const GpuGraphs graphs = gpu->graphs();
  if (!graphs.failure.empty()) {
    logger.warn("launches go to the GPU one by one, it took no CUDA graph: {}", graphs.failure);
  }
  logger.debug("GPU: {} operations, {} of them in graphs; segments: {}, {} replayed, {} captured",
               graphs.operations, graphs.replayed_operations, graphs.segments, graphs.replayed,
               graphs.captured);
}

std::string gpu_name(const Engine& engine) {
  return engine.stream.on_gpu() ? " gpu=" + engine.stream.gpu()->info().name : "";
}

}  // namespace

struct StageExecutor::Impl {
  Impl(Group& group, const ExecutorOptions& given, Logger& log)
      : world(group),
        options(given),
        logger(log),
        gpu(open_rank_gpu(group, given.device, given.gang, log)),
        engines(group, gpu.get()),
        host_engines(group),
        resident(group, given.cache_directory) {}

  // Of the GPU, when there is one, unless it was not demanded and does not do what the stage asks.
  [[nodiscard]] Engine engine_for(const config::StageSpec& spec,
                                  const std::optional<GpuFault>& fault) {
    if (gpu == nullptr || !fault) {
      return engines.get(spec.mesh());
    }
    if (options.device == "cuda") {
      throw Error(ErrorKind::kConfig, fault->message, fault->field, "resources.device: cpu");
    }
    logger.info("on the CPU: {}", fault->message);
    return host_engines.get(spec.mesh());
  }

  [[nodiscard]] std::optional<GpuFault> adapter_fault(const config::ModelSource& source,
                                                      const InputDirs& dirs) {
    if (gpu == nullptr) {
      return std::nullopt;
    }
    const auto made_by = resident.adapter_stage(source, dirs);
    return made_by ? gpu_fault(made_by->train().train().method()) : std::nullopt;
  }

  // What answers or scores examples, even where a GPU was demanded for what trains.
  [[nodiscard]] Engine engine_for_examples(const config::StageSpec& spec,
                                           const config::ModelSource& model,
                                           const InputDirs& dirs) {
    const auto fault = adapter_fault(model, dirs);
    if (!fault) {
      return engines.get(spec.mesh());
    }
    logger.info("{} on the CPU: {}", spec.has_score() ? "scores" : "answers", fault->message);
    return host_engines.get(spec.mesh());
  }

  // Why the ranks' GPUs cannot decode the model, the same on all. Collective over the world.
  [[nodiscard]] std::optional<std::string> answer_fault(const EvalModel& model) const {
    std::optional<std::string> fault;
    for (const EvalPiece& piece : model.pieces()) {
      fault = fault ? fault : decoder_fault(*piece.model);
    }
    if (world.sum(fault ? 1 : 0) == 0) {
      return std::nullopt;
    }
    return fault ? fault : "generation on another rank";
  }

  [[nodiscard]] proto::StageResult prepare(const config::PrepareSpec& spec,
                                           const AttemptPlace& place) const {
    proto::StageResult result;
    if (world.rank() == 0) {
      const std::vector<std::string> texts = read_texts(spec.data(), spec.rules());
      std::vector<std::string> special = {spec.rules().response_end()};
      if (!spec.rules().prompt_end().empty()) {
        special.push_back(spec.rules().prompt_end());
      }
      special.insert(special.end(), spec.tokenizer().special_tokens().begin(),
                     spec.tokenizer().special_tokens().end());
      const Tokenizer tokenizer = Tokenizer::train(texts, spec.tokenizer().vocab_size(), special);
      write_file(place.attempt_dir + "/tokenizer.json", tokenizer.to_json());
      logger.info("tokenizer: {} entries from {} texts", tokenizer.vocab_size(), texts.size());
    }
    world.barrier();
    result.set_outcome(proto::StageResult::DONE);
    return result;
  }

  static void add_row(const std::string& set, const std::string& metric, const Measured& measured,
                      proto::StageResult& result) {
    proto::EvalRow& row = *result.add_evals();
    row.set_step(0);
    row.set_set(set);
    row.set_metric(metric);
    row.set_value(measured.value);
    row.set_n(measured.n);
  }

  [[nodiscard]] static AnswerCounts answer(EvalModel& model, const Dataset& dataset,
                                           const Tokenizer& tokenizer,
                                           const config::DatasetRef& set,
                                           const config::Evaluate& evaluate,
                                           std::vector<proto::Sample>* samples, const Pulse& pulse,
                                           std::vector<AnswerRecord>* records) {
    AnswerOptions options;
    options.limit = evaluate.limit();
    options.max_new = evaluate.max_new_tokens();
    options.stop = dataset.facts().end_token;
    options.samples = evaluate.samples();
    const std::unique_ptr<Task> verifier = set.has_task() ? make_task(set.task()) : nullptr;
    return measure_answers(model, dataset, tokenizer, options, verifier.get(), set.name(), samples,
                           pulse, records);
  }

  proto::StageResult evaluate(const Engine& engine, const config::Mesh& mesh_of_stage,
                              const config::EvaluateSpec& spec, const InputDirs& dirs,
                              const StageHooks& hooks) {
    proto::StageResult result;
    MeasuredModel measured_model(engine, resident.adapted(engine, spec.model(), DType::kF32, dirs));
    EvalModel& model = measured_model.eval();
    // Where a GPU cannot answer, the CPU does: from the weights as the artifact has them.
    std::unique_ptr<MeasuredModel> on_host;
    const auto answering = [&]() -> EvalModel& {
      if (on_host == nullptr) {
        const auto fault = engine.stream.on_gpu() ? answer_fault(model) : std::nullopt;
        if (!fault) {
          return model;
        }
        logger.info("answers on the CPU: {} has no GPU kernels", *fault);
        const Engine host = host_engines.get(mesh_of_stage);
        on_host = std::make_unique<MeasuredModel>(
            host, resident.adapted(host, spec.model(), DType::kF32, dirs));
      }
      return on_host->eval();
    };
    const auto tokenizer = resident.tokenizer(spec.tokenizer(), dirs);
    check_model_fits(measured_model.config(), *tokenizer, spec.rules());
    const Pulse pulse = [&hooks] {
      if (hooks.on_progress) {
        proto::Progress progress;
        progress.set_doing("evaluate");
        (void)hooks.on_progress(progress);  // an evaluation is short: a stop is taken at its end
      }
    };
    std::vector<proto::Sample> samples;
    for (const config::DatasetRef& set : spec.sets()) {
      const auto dataset = resident.dataset(set, spec.rules(), spec.tokenizer(), dirs);
      logger.info("{}: {}", set.name(), dataset->describe());
      // Answers are asked once, whatever is made of them.
      std::optional<AnswerCounts> counts;
      std::optional<Calibration> calibration;
      std::vector<AnswerRecord> records;
      for (const std::string& metric : spec.evaluate().metrics()) {
        if (metric != "loss" && !counts) {
          const bool keeps = std::any_of(spec.evaluate().metrics().begin(),
                                         spec.evaluate().metrics().end(), is_calibration_metric);
          counts = answer(answering(), *dataset, *tokenizer, set, spec.evaluate(), &samples, pulse,
                          keeps ? &records : nullptr);
        }
        if (is_calibration_metric(metric) && !calibration) {
          calibration =
              measure_calibration(answering(), *dataset, records, dataset->facts().end_token);
        }
        add_row(set.name(), metric,
                metric == "loss"                ? measure_loss(model, *dataset, pulse)
                : is_calibration_metric(metric) ? calibration->metric(metric)
                                                : counts->share(metric),
                result);
      }
    }
    add_suites(spec, result);
    for (proto::Sample& sample : samples) {
      *result.add_samples() = std::move(sample);
    }
    result.set_outcome(proto::StageResult::DONE);
    return result;
  }

  DataStageInput data_input(const config::StageSpec& spec, const AttemptPlace& place,
                            const StageHooks& hooks, const InputDirs& dirs) {
    return {.label = &spec.label(),
            .place = &place,
            .hooks = &hooks,
            .dirs = &dirs,
            .world = &world,
            .resident = &resident,
            .logger = &logger};
  }

  // result.pb, tokenizer.json beside a checkpoint, manifest last: it, or who commits, flushes them.
  void finish(const config::StageSpec& spec, const AttemptPlace& place, const InputDirs& dirs,
              const std::string& base_key, const proto::StageResult& result) const {
    if (world.rank() != 0) {
      return;
    }
    std::vector<std::string> files = {"result.pb"};
    Manifest manifest;
    manifest.key = spec.key();
    manifest.kind = spec.GetReflection()
                        ->GetOneofFieldDescriptor(spec, spec.GetDescriptor()->oneof_decl(0))
                        ->name();
    manifest.base_key = base_key;
    manifest.epoch = place.epoch;
    if (spec.has_prepare()) {
      files.push_back("tokenizer.json");
    }
    if (spec.has_generate() || spec.has_score() || spec.has_select()) {
      files.push_back("data.jsonl");
    }
    if (spec.has_train() || spec.has_transform()) {
      const config::TokenizerSource& source =
          spec.has_train() ? spec.train().tokenizer() : spec.transform().tokenizer();
      write_file(place.attempt_dir + "/tokenizer.json", Resident::tokenizer_text(source, dirs));
      files.push_back("tokenizer.json");
      files.push_back("checkpoint.h5");
    }
    write_file(place.attempt_dir + "/result.pb", result.SerializeAsString());
    for (const auto& entry : std::filesystem::directory_iterator(place.attempt_dir)) {
      if (entry.path().filename().string().starts_with("step-")) {
        std::filesystem::remove(entry.path());
      }
    }
    crash_point("worker.before_manifest");
    (void)write_manifest(place.attempt_dir, manifest, files, place.flush);
    crash_point("worker.after_artifact_written");
  }

  Group& world;
  ExecutorOptions options;
  Logger& logger;
  std::unique_ptr<Gpu> gpu;  // null: the CPU
  Engines engines;
  Engines host_engines;  // for what GPUs do not do
  Resident resident;
};

StageExecutor::StageExecutor(Group& world, const ExecutorOptions& options, Logger& logger)
    : impl_(std::make_unique<Impl>(world, options, logger)) {
  set_num_threads(options.threads);
}

StageExecutor::~StageExecutor() = default;

proto::StageResult StageExecutor::execute(const config::StageSpec& spec, const AttemptPlace& place,
                                          const StageHooks& hooks) {
  if (spec.inputs_size() != static_cast<int>(place.input_dirs.size())) {
    throw Error(ErrorKind::kProtocol, "a stage with " + std::to_string(spec.inputs_size()) +
                                          " inputs was given " +
                                          std::to_string(place.input_dirs.size()) + " directories");
  }
  InputDirs dirs;
  for (int i = 0; i < spec.inputs_size(); ++i) {
    dirs[spec.inputs(i)] = place.input_dirs[static_cast<std::size_t>(i)];
  }
  const Stopwatch watch;
  reset_resident_peak();
  MemoryUse memory;
  std::string base_key;
  std::string mesh;
  proto::StageResult result;
  switch (spec.kind_case()) {
    case config::StageSpec::kPrepare:
      result = impl_->prepare(spec.prepare(), place);
      break;
    case config::StageSpec::kTrain: {
      const Engine engine = impl_->engine_for(spec, gpu_fault(spec.train().train()));
      const TrainStageInput input{.spec = &spec,
                                  .place = &place,
                                  .hooks = &hooks,
                                  .dirs = &dirs,
                                  .engine = &engine,
                                  .resident = &impl_->resident,
                                  .logger = &impl_->logger,
                                  .memory = &memory};
      mesh = " mesh=" + describe(engine) + gpu_name(engine);
      result = run_train_stage(input, &base_key);
      break;
    }
    case config::StageSpec::kEvaluate: {
      const Engine engine =
          impl_->engine_for(spec, impl_->adapter_fault(spec.evaluate().model(), dirs));
      mesh = " mesh=" + describe(engine) + gpu_name(engine);
      result = impl_->evaluate(engine, spec.mesh(), spec.evaluate(), dirs, hooks);
      break;
    }
    case config::StageSpec::kGenerate: {
      const Engine engine = impl_->engine_for_examples(spec, spec.generate().model(), dirs);
      mesh = " mesh=" + describe(engine) + gpu_name(engine);
      result =
          run_generate_stage(spec.generate(), engine, impl_->data_input(spec, place, hooks, dirs));
      break;
    }
    case config::StageSpec::kScore: {
      const Engine engine = impl_->engine_for_examples(spec, spec.score().model(), dirs);
      mesh = " mesh=" + describe(engine) + gpu_name(engine);
      result = run_score_stage(spec.score(), engine, impl_->data_input(spec, place, hooks, dirs));
      break;
    }
    case config::StageSpec::kSelect:
      result = run_select_stage(spec.select(), impl_->data_input(spec, place, hooks, dirs));
      break;
    case config::StageSpec::kTransform:
      result = run_transform_stage(spec, impl_->data_input(spec, place, hooks, dirs));
      break;
    case config::StageSpec::KIND_NOT_SET:
      throw Error(ErrorKind::kProtocol, "a stage without a kind");
  }
  result.set_key(spec.key());
  if (!spec.has_train()) {
    result.set_seconds(watch.seconds());
  }
  result.set_environment(
      std::string("isa=") + isa_name(active_isa()) + " threads=" + std::to_string(num_threads()) +
      " ranks=" + std::to_string(impl_->world.size()) + mesh + " version=" FINESCALE_VERSION);
  memory.resident = resident_peak();
  add_memory(impl_->world, memory, result);
  log_memory(result, impl_->logger);
  log_graphs(impl_->gpu.get(), impl_->logger);
  if (result.outcome() != proto::StageResult::STOPPED) {
    impl_->finish(spec, place, dirs, base_key, result);
    impl_->world.barrier();
  }
  return result;
}

}  // namespace finescale
