// SPDX-License-Identifier: Apache-2.0
#include "worker/gang_loop.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>

#include "checkpoint/manifest.h"
#include "comm/processors.h"
#include "comm/watchdog.h"
#include "configs/canonical.h"
#include "core/crash_point.h"
#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/parallel.h"
#include "worker/data/token_cache.h"
#include "worker/leader.h"
#include "worker/stage_executor.h"

namespace finescale {

namespace {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): a handler has no other way
std::atomic<int> term_signal = 0;

void on_gang_signal(int signal) {
  term_signal = signal;
}

std::shared_ptr<Logger> gang_logger(std::int64_t gang) {
  LogOptions options;
  options.name = "gang " + std::to_string(gang);
  return make_logger(options);
}

class GangLoop {
 public:
  GangLoop(Group& world, const GangOptions& options)
      : world_(world),
        options_(options),
        logger_(gang_logger(options.gang)),
        executor_(world,
                  {.threads = options.threads,
                   .device = options.device,
                   .gang = options.gang,
                   .cache_directory = cache_directory(options.campaign + "/cache")},
                  *logger_) {
    processors_ = processor_share(world);
    if (world.rank() == 0) {
      leader_ = std::make_unique<Leader>(options, world.size(), *logger_);
    }
  }

  int run() {
    bool is_led = true;
    lead([&] { is_led = leader_->enroll(); });
    if (!agree(is_led)) {
      return 143;
    }
    for (;;) {
      proto::NextReply order;
      lead([&] {
        if (term_signal != 0) {  // told to leave
          leader_->end_order();
          order.set_order(proto::NextReply::EXIT);
        } else {
          order = leader_->next();
        }
      });
      std::string bytes = order.SerializeAsString();
      world_.broadcast(bytes, 0);
      if (!order.ParseFromString(bytes) || order.order() == proto::NextReply::EXIT) {
        return agree(leader_ == nullptr ||
                     (leader_->word() != Leader::Word::kOrphaned && term_signal == 0))
                   ? 0
                   : 143;
      }
      if (order.order() == proto::NextReply::WAIT) {
        continue;
      }
      crash_point("worker.stage_received");
      const bool go_on = execute(order);
      if (!agree(go_on)) {
        return 143;
      }
    }
  }

 private:
  // Rank 0 does this, which may wait long for a coordinator; the others hear meanwhile that it is
  // there, so that what the watchdog finds are hangs. Collective over the world.
  template <class Work>
  void lead(const Work& work) {
    if (world_.size() == 1) {
      return work();
    }
    std::future<void> done;
    if (leader_ != nullptr) {
      done = std::async(std::launch::async, work);
    }
    const auto waits = [&] {
      return leader_ != nullptr &&
             done.wait_for(std::chrono::milliseconds(500)) != std::future_status::ready;
    };
    while (world_.any(waits())) {
    }
    if (leader_ != nullptr) {
      done.get();
    }
  }

  // Rank 0's word, on every rank. Collective over the world.
  bool agree(bool yes) { return !world_.any(world_.rank() == 0 && !yes); }

  // No bit depends on the number of threads, so a stage may have more than its gang's own.
  void use_threads(int shares) const {
    const int wanted = std::min(options_.threads * std::max(1, shares), processors_);
    set_num_threads(std::max(options_.threads, wanted));
  }

  // False: this gang must end.
  bool execute(const proto::NextReply& order) {
    config::StageSpec spec;
    try {
      parse_canonical(order.stage(), spec);
      AttemptPlace place;
      place.attempt_dir = order.attempt_dir();
      place.epoch = order.epoch();
      place.resume_dirs = {order.resume_dirs().begin(), order.resume_dirs().end()};
      place.input_dirs = {order.input_dirs().begin(), order.input_dirs().end()};
      if (leader_ != nullptr) {
        leader_->begin_stage(spec.key(), order.epoch());
        make_directories(place.attempt_dir);
        place.flush = leader_->commits_in_groups() ? Flush::kLater : Flush::kNow;
      }
      world_.barrier();
      logger_->info("{} {} ({}) epoch {}", order.trial(), spec.label(), spec.key(), order.epoch());
      StageHooks hooks;
      hooks.on_progress = [this](const proto::Progress& progress) { return on_progress(progress); };
      use_threads(order.thread_shares());
      const proto::StageResult result = executor_.execute(spec, place, hooks);
      return finish(spec, place, result);
    } catch (const Error& error) {
      return failed(error);
    }
  }

  // Collective over the world; the word of rank 0 counts.
  bool finish(const config::StageSpec& spec, const AttemptPlace& place,
              const proto::StageResult& result) {
    bool go_on = true;
    lead([&] { go_on = commit(spec, place, result); });
    return go_on;
  }

  bool commit(const config::StageSpec& spec, const AttemptPlace& place,
              const proto::StageResult& result) {
    const Leader::Word word = leader_->word();
    if (word == Leader::Word::kAbandon) {
      logger_->warn("{} was given to another gang: this attempt is thrown away", spec.key());
      leader_->end_stage();
      return true;
    }
    std::string manifest_hash;
    if (result.outcome() != proto::StageResult::STOPPED) {
      manifest_hash = hash_file(place.attempt_dir + "/manifest.json");
    }
    leader_->commit(place.attempt_dir, manifest_hash, result);
    leader_->end_stage();
    if (term_signal != 0) {
      leader_->end_order();
    }
    return leader_->word() != Leader::Word::kOrphaned && term_signal == 0;
  }

  bool failed(const Error& error) {
    logger_->error("{}", describe(error));
    if (leader_ != nullptr) {
      leader_->fail(std::string(error_kind_name(error.kind())), error.what());
      leader_->end_stage();
    }
    if (leader_ != nullptr && world_.size() > 1) {
      leader_->end_order();
    }
    if (world_.size() > 1) {
      // Other ranks may wait in a collective that this one left: the whole gang goes, and a new one
      // comes.
      if (leader_ == nullptr) {
        std::this_thread::sleep_for(
            std::chrono::seconds(2));  // the leader reports first, if it failed too
      }
      world_.abort(exit_code(error.kind()));
    }
    return true;
  }

  bool on_progress(const proto::Progress& progress) {
    if (leader_ != nullptr) {
      leader_->progress(progress);
    }
    const bool trains = progress.doing() == "train";
    if (!trains && progress.doing() != "generate") {
      return false;
    }
    // One rank alone may ask at every step; several agree every 16 steps (a collective), and after
    // each group of answers.
    if (trains && world_.size() > 1 && progress.step() % 16 != 0) {
      return false;
    }
    const bool stop =
        leader_ != nullptr && (leader_->word() != Leader::Word::kGoOn || term_signal != 0);
    return world_.any(stop);
  }

  Group& world_;
  GangOptions options_;
  int processors_ = 1;  // that this rank may use
  std::shared_ptr<Logger> logger_;
  StageExecutor executor_;
  std::unique_ptr<Leader> leader_;
};

}  // namespace

int run_gang(Group& world, const GangOptions& options) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // mpirun killed: its ranks must not live on as orphans
  std::signal(SIGTERM, on_gang_signal);
  std::signal(SIGUSR1,
              on_gang_signal);   // a batch system's warning of its limit, passed on by mpirun
  std::signal(SIGINT, SIG_IGN);  // a terminal's Ctrl-C is the coordinator's
  WatchdogOptions watched;
  watched.timeout_s = options.hang_timeout;
  const Watchdog watchdog(world, watched);
  const int code = GangLoop(world, options).run();
  world.barrier();  // watched: no rank leaves while another still waits
  return code;
}

}  // namespace finescale
