// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <limits>
#include <optional>
#include <set>

#include "comm/rpc/address.h"
#include "comm/rpc/server.h"
#include "coordinator/campaign_actions.h"
#include "coordinator/campaign_book.h"
#include "coordinator/campaign_status.h"
#include "coordinator/launchers/launcher.h"
#include "coordinator/reactor.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/overloaded.h"
#include "core/secret.h"

namespace finescale {

namespace {

constexpr double kStopSeconds = 60;  // gangs may take this long to save before they are left alone
constexpr int kLaunchFailures = 3;   // in a row: the launcher is broken

ReactorOptions reactor_options(const config::Resources& resources, std::int64_t epoch) {
  ReactorOptions o;
  o.gangs = resources.gangs();
  o.max_attempts = resources.max_attempts();
  o.heartbeat_timeout = resources.heartbeat_timeout();
  o.retry_delay = resources.retry_delay();
  o.retry_delay_max = resources.retry_delay_max();
  o.coordinator_epoch = epoch;
  return o;
}

class CampaignLoop {
 public:
  CampaignLoop(const CampaignOptions& options, CampaignBook& book, Launcher& launcher,
               const std::string& token, Logger& logger)
      : options_(options),
        book_(book),
        launcher_(launcher),
        logger_(logger),
        server_("127.0.0.1", token),
        reactor_(reactor_options(options.sweep.resources(), book.epoch())),
        status_(options.sweep.name(), book, reactor_, clock_.now(), options.live_line, logger),
        actions_({options.sweep.resources(), book, reactor_, launcher, server_, status_, clock_,
                  logger}) {
    write_address(book.directory(),
                  {"127.0.0.1", server_.port(), token, book.epoch(), ::getpid(), machine_name()});
  }

  int run() {
    book_.load(reactor_, clock_.now());
    adopt_gangs();
    logger_.info("{}: {} trials, {} stages ({} before sharing), in {}", options_.sweep.name(),
                 book_.trials().size(), reactor_.stages().size(), book_.stages_unshared(),
                 book_.directory());
    const int code = loop();
    const bool is_done = code == 0 && reactor_.all_settled();
    status_.publish(is_done ? "done" : code == 1 ? "failed" : "interrupted", clock_.now(), true);
    std::filesystem::remove(book_.directory() + "/coordinator.json");
    status_.end_line();
    return code;
  }

 private:
  void adopt_gangs() {
    for (const StoredGang& gang : book_.gangs()) {
      if (launcher_.adopt(actions_.gang_launch(gang.id), gang.pid)) {
        logger_.info("gang {} of the coordinator before is alive", gang.id);
        reactor_.adopt_gang(gang.id, clock_.now());
      } else {
        book_.remove_gang(gang.id);
      }
    }
  }

  int loop() {
    for (;;) {
      handle_requests();
      heed_stop();  // first: a batch system that ends a job ends its gangs at the same moment
      for (const GangExit& exit : launcher_.ended()) {
        book_.remove_gang(exit.gang);
        actions_.carry_out(reactor_.on_gang_exit(exit.gang, exit.code, exit.reason, clock_.now()));
      }
      decide_tuning();
      actions_.carry_out(reactor_.on_tick(clock_.now()));
      status_.publish("running", clock_.now(), false);
      if (const std::optional<int> code = exit_code_now()) {
        return *code;
      }
    }
  }

  [[nodiscard]] int stop_signal() const {
    return options_.stop_signal ? options_.stop_signal() : 0;
  }

  void heed_stop() {
    if ((stop_signal() != 0 || stop_requested_) && !reactor_.stopping()) {
      logger_.info("stopping: gangs finish their step and save");
      reactor_.stop();
      stop_deadline_ = clock_.now() + kStopSeconds;
    }
  }

  // The exit code when nothing is left to do, or when what was told to stop has stopped.
  std::optional<int> exit_code_now() {
    if (reactor_.stopping()) {
      const bool is_over = !reactor_.any_gang() || clock_.now() > stop_deadline_;
      return is_over ? std::optional(128 + (stop_signal() != 0 ? stop_signal() : SIGTERM))
                     : std::nullopt;
    }
    if (reactor_.any_gang()) {
      return std::nullopt;
    }
    if (reactor_.all_settled() && book_.all_resolved(reactor_)) {
      return book_.any_failed(reactor_) ? 1 : 0;
    }
    if (reactor_.gang_failures() >= kLaunchFailures) {
      throw Error(ErrorKind::kLaunch, "three gangs in a row ended before their first call",
                  book_.directory() + "/logs",
                  "read logs/gang-*.log; finescale doctor checks mpirun");
    }
    return std::nullopt;
  }

  void handle_requests() {
    for (RpcRequest& request : server_.take(reactor_.stopping() ? 0.05 : 0.1)) {
      const double now = clock_.now();
      std::visit(
          Overloaded{
              [&](const proto::RegisterRequest& m) {
                actions_.carry_out(reactor_.on_register(request.id, m, now));
              },
              [&](const proto::NextRequest& m) {
                decide_tuning();  // what the last commit settled may be what this gang does next
                actions_.carry_out(reactor_.on_next(request.id, m, now));
              },
              [&](const proto::HeartbeatRequest& m) {
                actions_.carry_out(reactor_.on_heartbeat(request.id, m, now));
              },
              [&](const proto::CommitRequest& m) {
                actions_.carry_out(reactor_.on_commit(request.id, m, now));
              },
              [&](const proto::FailRequest& m) {
                actions_.carry_out(reactor_.on_fail(request.id, m, now));
              },
              [&](const proto::ControlRequest& m) { server_.answer(request.id, control(m)); },
          },
          request.message);
    }
  }

  void decide_tuning() {
    const std::vector<TuningDecision> decisions = book_.decide_tuning(reactor_);
    for (const TuningDecision& decision : decisions) {
      for (const auto& [path, value] : decision.values) {
        status_.clear_line();
        logger_.info("tuned {}: {} = {} ({} {:.5g})", decision.group, path, value,
                     options_.sweep.tune().metric(), decision.metric);
      }
    }
    if (!decisions.empty()) {
      book_.load(reactor_, clock_.now());
    }
  }

  proto::ControlReply control(const proto::ControlRequest& request) {
    proto::ControlReply reply;
    reply.set_ok(true);
    if (request.command() == "status") {
      reply.set_json(status_.document("running", clock_.now()));
    } else if (request.command() == "stop" && request.trials().empty()) {
      stop_requested_ = true;
      reply.set_message("stopping: gangs finish their step and save; finescale run continues");
    } else if (request.command() == "stop") {
      stop_trials({request.trials().begin(), request.trials().end()}, reply);
    } else {
      reply.set_ok(false);
      reply.set_message("unknown command " + request.command());
    }
    return reply;
  }

  // Stops the stages that no trial needs that goes on.
  void stop_trials(const std::set<std::string>& names, proto::ControlReply& reply) {
    std::set<std::string> needed;
    std::set<std::string> unknown = names;
    for (const PlannedTrial& trial : book_.trials()) {
      unknown.erase(trial.id);
      if (!names.contains(trial.id) && !book_.is_stopped(trial.id)) {
        needed.insert(trial.stages.begin(), trial.stages.end());
      }
    }
    if (!unknown.empty()) {
      reply.set_ok(false);
      reply.set_message("no trial is called " + *unknown.begin());
      return;
    }
    for (const PlannedTrial& trial : book_.trials()) {
      if (!names.contains(trial.id)) {
        continue;
      }
      for (const std::string& key : trial.stages) {
        if (!needed.contains(key)) {
          actions_.carry_out(reactor_.stop_stage(key));
        }
      }
      book_.put_stopped(trial);
    }
    reply.set_message("stopped " + std::to_string(names.size()) + " trials");
  }

  const CampaignOptions& options_;
  CampaignBook& book_;
  Launcher& launcher_;
  Logger& logger_;
  SystemClock clock_;
  RpcServer server_;
  Reactor reactor_;
  CampaignStatus status_;
  CampaignActions actions_;
  double stop_deadline_ = std::numeric_limits<double>::infinity();
  bool stop_requested_ = false;
};

}  // namespace

int run_campaign(const CampaignOptions& options, Logger& logger) {
  CampaignBook book(options.sweep, options.directory);
  const std::unique_ptr<Launcher> launcher = make_launcher(options.sweep.resources().launcher());
  book.open(options.extend, SystemClock().unix_now());
  return CampaignLoop(options, book, *launcher, random_token(), logger).run();
}

}  // namespace finescale
