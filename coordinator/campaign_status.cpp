// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign_status.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "coordinator/status.h"
#include "core/crash_point.h"
#include "core/files.h"

namespace finescale {

namespace {

constexpr double kSecondsBetweenLogLines = 15;  // without a terminal

}  // namespace

CampaignStatus::CampaignStatus(const std::string& name, const CampaignBook& book,
                               const Reactor& reactor, double started, bool live_line,
                               Logger& logger)
    : name_(name),
      book_(book),
      reactor_(reactor),
      started_(started),
      earlier_s_(published_wall_seconds(book.directory())),
      live_line_(live_line),
      logger_(logger) {}

std::string CampaignStatus::document(const std::string& state, double now) {
  StatusInput in;
  in.campaign = name_;
  in.state = state;
  in.trials = &book_.trials();
  in.stopped_trials = &book_.stopped();
  in.reactor = &reactor_;
  in.lost_groups = book_.lost_groups(reactor_);
  in.now = now;
  in.elapsed_s = now - started_;
  in.earlier_s = earlier_s_;
  for (const StageEntry& stage : reactor_.stages()) {
    const double weight = stage.work - stage.work_before;
    const bool settled =
        stage.stored.state != StageState::kPending && stage.stored.state != StageState::kRunning;
    in.total_work += weight;
    in.done_work += settled ? weight : 0;
    if (stage.stored.state == StageState::kRunning && stage.progress.steps() > 0) {
      in.done_work += weight * static_cast<double>(stage.progress.step()) /
                      static_cast<double>(stage.progress.steps());
    }
  }
  if (!work_before_) {
    work_before_ = in.done_work;
  }
  in.work_before = *work_before_;
  return status_json(in);
}

void CampaignStatus::publish(const std::string& state, double now, bool force,
                             CoordinatorClaim& claim) {
  if (!force && now < next_status_) {
    return;
  }
  const auto begin = std::chrono::steady_clock::now();
  const std::string json = document(state, now);
  const std::chrono::duration<double> cost = std::chrono::steady_clock::now() - begin;
  next_status_ = now + std::max(1.0, 50 * cost.count());
  write_file_atomically(book_.directory() + "/status.json", json + "\n", 0644,
                        [&claim] { claim.require(); });
  crash_point("coordinator.after_snapshot");
  if (live_line_) {
    std::fprintf(stderr, "\r\033[K%.200s", status_line(json).c_str());
    line_open_ = true;
  } else if (now - last_line_ > kSecondsBetweenLogLines) {
    last_line_ = now;
    logger_.info("{}", status_line(json));
  }
}

void CampaignStatus::clear_line() {
  if (line_open_) {
    std::fputs("\r\033[K", stderr);
    line_open_ = false;
  }
}

void CampaignStatus::end_line() {
  if (live_line_) {
    std::fputc('\n', stderr);
    line_open_ = false;
  }
}

}  // namespace finescale
