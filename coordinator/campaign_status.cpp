// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign_status.h"

#include <algorithm>
#include <cstdio>

#include "configs/canonical.h"
#include "coordinator/status.h"
#include "core/crash_point.h"
#include "core/files.h"

namespace finescale {

namespace {

constexpr double kSecondsBetweenLogLines = 15;  // without a terminal

// Data budget times epochs, or what bounds the training instead, in examples.
double training_work(const config::Train& train) {
  constexpr double kTokensPerExample = 16;  // a guess: only the relation of the stages matters
  const double batch =
      train.batch().has_examples() ? static_cast<double>(train.batch().examples()) : 16;
  if (train.has_tokens()) {
    return static_cast<double>(train.tokens()) / kTokensPerExample;
  }
  if (train.has_steps()) {
    return static_cast<double>(train.steps()) * batch;
  }
  return std::max(static_cast<double>(train.data_budget()) * train.epochs(),
                  static_cast<double>(train.min_steps()) * batch);
}

}  // namespace

CampaignStatus::CampaignStatus(const std::string& name, const CampaignBook& book,
                               const Reactor& reactor, double started, bool live_line,
                               Logger& logger)
    : name_(name),
      book_(book),
      reactor_(reactor),
      started_(started),
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
  for (const auto& [key, stage] : reactor_.stages()) {
    const double weight = work_of(stage);
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

// Stages that do not train count as one example.
double CampaignStatus::work_of(const StageEntry& stage) {
  auto [it, is_new] = work_.emplace(stage.stored.key, 1.0);
  if (is_new) {
    config::StageSpec spec;
    parse_canonical(stage.stored.spec, spec);
    if (spec.has_train()) {
      it->second = training_work(spec.train().train());
    }
  }
  return it->second;
}

void CampaignStatus::publish(const std::string& state, double now, bool force) {
  if (!force && now - last_status_ < 1) {
    return;
  }
  last_status_ = now;
  const std::string json = document(state, now);
  write_file_atomically(book_.directory() + "/status.json", json + "\n");
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
