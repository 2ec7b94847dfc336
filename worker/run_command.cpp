// SPDX-License-Identifier: Apache-2.0
#include "worker/run_command.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <thread>

#include <nlohmann/json.hpp>

#include "checkpoint/manifest.h"
#include "comm/processors.h"
#include "comm/trace.h"
#include "comm/watchdog.h"
#include "configs/canonical.h"
#include "configs/flow_text.h"
#include "configs/parse.h"
#include "configs/stages.h"
#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "worker/data/token_cache.h"
#include "worker/stage_executor.h"
#include "worker/tool/plan_tool_mesh.h"

namespace finescale {

namespace {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): a handler has no other way
std::atomic<int> stop_signal = 0;

void on_run_signal(int signal) {
  stop_signal = signal;
}

// A live line on a terminal, a plain one every few seconds elsewhere.
class ProgressLine {
 public:
  void show(const std::string& label, const proto::Progress& p) {
    const auto now = std::chrono::steady_clock::now();
    const bool terminal = ::isatty(STDERR_FILENO) != 0;
    if (now - last_ < std::chrono::milliseconds(terminal ? 200 : 5000)) {
      return;
    }
    last_ = now;
    std::fprintf(stderr,
                 terminal ? "\r\033[K%s: step %lld/%lld loss %.4f %.0f tokens/s"
                          : "%s: step %lld/%lld loss %.4f %.0f tokens/s\n",
                 label.c_str(), static_cast<long long>(p.step()), static_cast<long long>(p.steps()),
                 p.loss(), p.tokens_per_second());
    open_ = terminal;
  }
  void end() {
    if (open_) {
      std::fputc('\n', stderr);
      open_ = false;
    }
  }

 private:
  std::chrono::steady_clock::time_point last_;
  bool open_ = false;
};

class RunCommand {
 public:
  RunCommand(Group& world, const RunOptions& options)
      : world_(world),
        options_(options),
        logger_(world.rank() == 0 ? make_logger({}) : make_null_logger()) {}

  int run() {
    config::Run run = load_run(options_.file, options_.overrides);
    // In front of all groups and threads that it watches.
    WatchdogOptions watched;
    watched.timeout_s = run.resources().hang_timeout();
    const Watchdog watchdog(world_, watched);
    std::unique_ptr<Trace> trace;
    if (!options_.trace.empty()) {
      trace = std::make_unique<Trace>(world_, options_.trace);
    }
    const int code = run_stages(run);
    if (trace != nullptr) {
      print_waits(*trace);
      trace->finish();
    }
    world_.barrier();  // watched: no rank leaves while another still waits
    return code;
  }

 private:
  int run_stages(config::Run& run) {
    std::map<std::string, std::string> hashes;
    const ContentHash hash = [&](const std::string& path) {
      auto [it, is_new] = hashes.emplace(path, "");
      if (is_new) {
        it->second = hash_file(path);
      }
      return it->second;
    };
    output_ = std::filesystem::absolute(run.output()).string();
    const int threads = threads_of(run);
    settle_run_mesh(run, hash, threads);
    const TrialStages stages = expand_run(run, hash);
    const ExecutorOptions with{.threads = threads,
                               .device = device_word(run),
                               .cache_directory = cache_directory(output_ + "/cache")};
    StageExecutor executor(world_, with, *logger_);
    make_places(run);
    for (std::size_t i = 0; i < stages.stages.size(); ++i) {
      const int code = execute(executor, stages.stages[i], stages.names[i]);
      if (code != 0) {
        return code;
      }
    }
    print_summary();
    return 0;
  }

  // Collective over the world.
  void print_waits(const Trace& trace) const {
    const Trace::StepTime mine = trace.steps();
    const double share = mine.seconds > 0 ? mine.waited_s / mine.seconds : 0;
    const double most = world_.max(share);
    const double least = -world_.max(-share);
    logger_->info("communication: ranks waited for it {:.1f} % to {:.1f} % of the steps' time",
                  100 * least, 100 * most);
  }

  // As stated, else this rank's share of the processors. Collective over the world.
  [[nodiscard]] int threads_of(const config::Run& run) const {
    const int given = run.resources().threads_per_rank();
    const auto processors = static_cast<int>(std::thread::hardware_concurrency());
    if (given > processors && world_.rank() == 0) {
      logger_->warn(
          "{} threads share {} processors: mpirun binds ranks to cores unless it is given "
          "--bind-to none",
          given, processors);
    }
    const int share = processor_share(world_);
    return given > 0 ? given : share;
  }

  // A mesh that is left to the planner, or memory that is bounded: decided before anything runs.
  void settle_run_mesh(config::Run& run, const ContentHash& hash, int threads) {
    const std::string& memory = run.resources().memory_per_rank();
    if (run.mesh().choice() == config::MESH_CHOICE_AUTO || !memory.empty()) {
      if (!run.has_mesh()) {
        run.mutable_mesh()->set_data(world_.size());
      }
      const bool is_auto = run.mesh().choice() == config::MESH_CHOICE_AUTO;
      *run.mutable_mesh() = settle_mesh(world_, threads, parse_bytes(memory).value_or(0),
                                        device_word(run), expand_run(run, hash).stages);
      if (is_auto) {
        logger_->info("mesh: {}",
                      flow_value(run, *config::Run::descriptor()->FindFieldByName("mesh")));
      }
    }
  }

  static std::string device_word(const config::Run& run) {
    switch (run.resources().device()) {
      case config::DEVICE_KIND_AUTO:
        return "auto";
      case config::DEVICE_KIND_CPU:
        return "cpu";
      case config::DEVICE_KIND_CUDA:
        return "cuda";
    }
    return "auto";
  }

  void make_places(const config::Run& run) {
    if (world_.rank() == 0) {
      make_directories(output_ + "/artifacts");
      make_directories(output_ + "/attempts");
      write_file_atomically(output_ + "/run.txt", canonical_text(run));
    }
    world_.barrier();
  }

  [[nodiscard]] std::string artifact(const std::string& key) const {
    return output_ + "/artifacts/" + key;
  }

  int execute(StageExecutor& executor, const config::StageSpec& spec, const std::string& name) {
    if (path_exists(artifact(spec.key()) + "/manifest.json")) {
      logger_->info("{}: already there ({})", name, spec.key());
      return report(name, read_result(artifact(spec.key())));
    }
    AttemptPlace place;
    place.attempt_dir = output_ + "/attempts/" + spec.key();
    for (const std::string& input : spec.inputs()) {
      place.input_dirs.push_back(artifact(input));
    }
    const bool unfinished = path_exists(place.attempt_dir);
    world_.barrier();
    if (unfinished && !options_.resume) {
      throw Error(ErrorKind::kConfig, "an unfinished run of stage " + name + " is here", output_,
                  "give --resume to continue it, or choose another output");
    }
    if (world_.rank() == 0) {
      make_directories(place.attempt_dir);
    }
    world_.barrier();
    StageHooks hooks;
    hooks.on_progress = [&](const proto::Progress& progress) {
      if (world_.rank() == 0 && progress.doing() == "train") {
        line_.show(name, progress);
      }
      // Steps are too short to ask each time; 16 of them are not.
      const bool asks = progress.doing() == "generate" ||
                        (progress.doing() == "train" && progress.step() % 16 == 0);
      if (!asks) {
        return false;
      }
      return world_.any(stop_signal != 0);
    };
    const proto::StageResult result = executor.execute(spec, place, hooks);
    line_.end();
    if (result.outcome() == proto::StageResult::STOPPED) {
      logger_->info("{}: {}; the same command with --resume continues", name, result.why());
      return 128 + stop_signal;
    }
    if (world_.rank() == 0) {
      publish_artifact(place.attempt_dir, artifact(spec.key()));
    }
    world_.barrier();
    return report(name, result);
  }

  static proto::StageResult read_result(const std::string& directory) {
    proto::StageResult result;
    if (!result.ParseFromString(read_file(directory + "/result.pb"))) {
      throw Error(ErrorKind::kCheckpoint, "result.pb cannot be read", directory);
    }
    return result;
  }

  int report(const std::string& name, const proto::StageResult& result) {
    if (result.outcome() == proto::StageResult::DIVERGED) {
      logger_->error("{}: {}", name, result.why());
      return 1;
    }
    nlohmann::json& stage = summary_[name];
    if (result.steps_size() > 0) {
      const proto::StepRow& last = result.steps(result.steps_size() - 1);
      logger_->info("{}: {} steps, {} tokens, {:.1f} s, last loss {:.4f}", name, last.step(),
                    result.tokens(), result.seconds(), last.loss());
      stage = {{"steps", last.step()},
               {"tokens", result.tokens()},
               {"train_flops", result.train_flops()},
               {"loss", last.loss()}};
    }
    for (const proto::RankMemory& m : result.memory()) {
      stage["memory"].push_back({{"weights", m.weights()},
                                 {"gather", m.gather()},
                                 {"gradients", m.gradients()},
                                 {"optimizer", m.optimizer()},
                                 {"activations", m.activations()},
                                 {"communication", m.communication()},
                                 {"data", m.data()},
                                 {"resident", m.resident()}});
    }
    for (const proto::EvalRow& row : result.evals()) {
      logger_->info("{}: {}.{} = {:.6g} (n = {})", name, row.set(), row.metric(), row.value(),
                    row.n());
      stage["metrics"][row.set() + "." + row.metric()] = row.value();
    }
    return 0;
  }

  void print_summary() const {
    if (world_.rank() == 0 && options_.json) {
      std::cout << summary_.dump(2) << "\n";
    }
  }

  Group& world_;
  const RunOptions& options_;
  std::shared_ptr<Logger> logger_;
  std::string output_;
  ProgressLine line_;
  nlohmann::json summary_ = nlohmann::json::object();
};

}  // namespace

int run_command(Group& world, const RunOptions& options) {
  std::signal(SIGTERM, on_run_signal);
  std::signal(SIGINT, on_run_signal);
  return RunCommand(world, options).run();
}

}  // namespace finescale
