// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <limits>
#include <optional>
#include <set>
#include <vector>

#include "comm/rpc/endpoint.h"
#include "comm/rpc/server.h"
#include "coordinator/campaign_book.h"
#include "coordinator/campaign_core.h"
#include "coordinator/campaign_status.h"
#include "coordinator/coordinator_claim.h"
#include "coordinator/launchers/launcher.h"
#include "coordinator/reactor.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/host_name.h"
#include "core/secret.h"

namespace finescale {

namespace {

constexpr double kStopSeconds = 60;  // gangs may take this long to save before they are left alone

class ServerAnswers : public AnswerSink {
 public:
  explicit ServerAnswers(RpcServer& server) : server_(server) {}
  void answer(std::uint64_t request, RpcReply reply) override {
    server_.answer(request, std::move(reply));
  }

 private:
  RpcServer& server_;
};

class CampaignLoop {
 public:
  CampaignLoop(const CampaignOptions& options, CampaignBook& book, Artifacts& artifacts,
               Launcher& launcher, const Endpoint& endpoint, const std::string& token,
               Logger& logger)
      : options_(options),
        book_(book),
        launcher_(launcher),
        logger_(logger),
        server_(endpoint, token),
        answers_(server_),
        reactor_(reactor_options(options.sweep.resources(), book.epoch())),
        status_(options.sweep.name(), book, reactor_, clock_.now(), options.live_line, logger),
        core_({options.sweep, book, reactor_, launcher, artifacts, answers_, &status_, clock_,
               logger, &claim_}),
        claim_(book.directory(), {endpoint.host, server_.port(), token, book.epoch(), ::getpid(),
                                  host_name(), endpoint.client}) {}

  int run() {
    core_.start();
    logger_.info("{}: {} trials, {} stages ({} before sharing), in {}", options_.sweep.name(),
                 book_.trials().size(), reactor_.stages().size(), book_.stages_unshared(),
                 book_.directory());
    const int code = loop();
    const bool is_done = code == 0 && reactor_.all_settled();
    const std::string state = is_done ? "done" : code == 1 ? "failed" : "interrupted";
    status_.publish(state, clock_.now(), true, claim_);
    claim_.give_up();
    status_.end_line();
    return code;
  }

 private:
  int loop() {
    for (;;) {
      handle_requests();
      heed_stop();  // first: a batch system that ends a job ends its gangs at the same moment
      for (const std::int64_t gang : launcher_.begun()) {
        core_.gang_begun(gang);
      }
      for (const GangExit& exit : launcher_.ended()) {
        core_.gang_ended(exit);
      }
      core_.tick();
      claim_.require();
      const bool is_stored = core_.flush();
      status_.publish("running", clock_.now(), false, claim_);
      if (const std::optional<int> code = exit_code_now(); code && is_stored) {
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
    if (core_.is_over()) {
      return book_.any_failed(reactor_) ? 1 : 0;
    }
    if (reactor_.launcher_is_broken()) {
      throw Error(
          ErrorKind::kLaunch,
          "three gangs in a row ended before their first call: " + reactor_.launch_failure(),
          book_.directory() + "/logs",
          "read logs/gang-*.log; finescale doctor checks mpirun and GPUs");
    }
    return std::nullopt;
  }

  void handle_requests() {
    std::vector<RpcRequest> requests = server_.take(reactor_.stopping() ? 0.05 : 0.1);
    claim_.require();  // a stopped coordinator wakes up in the middle of anything
    for (RpcRequest& request : requests) {
      if (const auto* message = std::get_if<proto::ControlRequest>(&request.message)) {
        server_.answer(request.id, control(*message));
      } else {
        core_.handle(request);
      }
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

  void stop_trials(const std::set<std::string>& names, proto::ControlReply& reply) {
    std::set<std::string> unknown = names;
    for (const PlannedTrial& trial : book_.trials()) {
      unknown.erase(trial.id);
    }
    if (!unknown.empty()) {
      reply.set_ok(false);
      reply.set_message("no trial is called " + *unknown.begin());
      return;
    }
    core_.stop_trials(names);
    reply.set_message("stopped " + std::to_string(names.size()) + " trials");
  }

  const CampaignOptions& options_;
  CampaignBook& book_;
  Launcher& launcher_;
  Logger& logger_;
  SystemClock clock_;
  RpcServer server_;
  ServerAnswers answers_;
  Reactor reactor_;
  CampaignStatus status_;
  CampaignCore core_;
  CoordinatorClaim claim_;
  double stop_deadline_ = std::numeric_limits<double>::infinity();
  bool stop_requested_ = false;
};

}  // namespace

int run_campaign(const CampaignOptions& options, Logger& logger) {
  ::mallopt(M_ARENA_MAX, 1);  // threads of gRPC only wait: one heap is enough, and smaller
  require_listenable(options.sweep.resources().interface());
  const std::unique_ptr<Artifacts> artifacts = make_file_artifacts(options.directory);
  CampaignBook book(options.sweep, options.directory, *artifacts);
  const std::unique_ptr<Launcher> launcher =
      make_launcher(options.sweep, options.directory, logger);
  const Endpoint endpoint = make_endpoint(options.sweep.resources().interface(), options.directory);
  book.open(options.extend, SystemClock().unix_now());
  return CampaignLoop(options, book, *artifacts, *launcher, endpoint, random_token(), logger).run();
}

}  // namespace finescale
