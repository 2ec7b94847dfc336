// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulation/duties.h"

#include <algorithm>
#include <cmath>

#include "coordinator/plan_schedule.h"

namespace finescale {

namespace {

constexpr double kTokensPerExample = 16;

std::int64_t tokens_of(double work) {
  return std::llround(work) * static_cast<std::int64_t>(kTokensPerExample);
}

// A loss as laws of data have it, a little better or worse for each run.
double made_up_loss(double examples, const std::string& key) {
  const double luck = static_cast<double>(std::hash<std::string>()(key) % 1000) / 1000;
  return 1.2 + (4 + luck) * std::pow(std::max(1.0, examples), -0.3);
}

}  // namespace

Duties::Duties(const config::Sweep& sweep, double examples_per_second)
    : examples_per_second_(examples_per_second) {
  for (const std::string& name :
       {search_metric(sweep.search()), sweep.laws().metric(), sweep.tune().metric()}) {
    const std::size_t dot = name.rfind('.');
    if (dot != std::string::npos) {
      metrics_.emplace_back(name.substr(0, dot), name.substr(dot + 1));
    }
  }
}

void Duties::learn(const CampaignBook& book, const Reactor& reactor) {
  const StageGraph& graph = book.graph();
  if (learnt_ == graph.order.size() && reactor.stages().size() == known_) {
    return;
  }
  known_ = reactor.stages().size();
  std::vector<std::size_t> places = std::move(unneeded_);
  unneeded_.clear();
  for (; learnt_ < graph.order.size(); ++learnt_) {
    places.push_back(learnt_);
  }
  for (const std::size_t place : places) {
    const std::string& key = graph.stages.key(graph.order[place]);
    const StageEntry* found = reactor.stages().find(key);
    if (found == nullptr) {
      unneeded_.push_back(place);  // a trunk; a later trial may need it
      continue;
    }
    const StageEntry& stage = *found;
    Duty duty;
    duty.work_before = stage.work_before;
    duty.work = stage.work;
    duty.trains = stage.trains;
    double begins_at = 0;
    for (const StageEntry* input : stage.sources) {
      const auto source = duties_.find(input->stored.key);
      begins_at = std::max(begins_at, source == duties_.end() ? 0 : source->second.ends_at);
    }
    if (!duty.trains && !stage.sources.empty()) {
      const std::string& model = stage.sources.front()->stored.key;
      duty.measured = made_up_loss(duties_.at(model).work, model);
    }
    duty.ends_at = begins_at + seconds_of(duty);
    longest_chain_ = std::max(longest_chain_, duty.ends_at);
    duties_[key] = duty;
  }
}

double Duties::seconds_of(const Duty& duty) const {
  return kHandOverSeconds + (duty.work - duty.work_before) / examples_per_second_;
}

std::int64_t Duties::tokens(const std::string& key) const {
  const Duty& duty = duties_.at(key);
  return duty.trains ? tokens_of(duty.work) : 0;
}

StageDuty Duties::of(const std::string& key) const {
  const Duty& duty = duties_.at(key);
  StageDuty out;
  out.seconds = seconds_of(duty);
  out.result.set_outcome(proto::StageResult::DONE);
  const double seconds_before = duty.work_before / examples_per_second_;
  out.result.set_seconds(out.seconds + seconds_before);
  if (duty.trains) {
    out.result.set_tokens(tokens_of(duty.work));
    if (duty.work_before > 0) {
      out.result.mutable_inherited()->set_tokens(tokens_of(duty.work_before));
      out.result.mutable_inherited()->set_seconds(seconds_before);
    }
    return out;
  }
  for (const auto& [set, metric] : metrics_) {
    proto::EvalRow& row = *out.result.add_evals();
    row.set_set(set);
    row.set_metric(metric);
    row.set_value(duty.measured);
  }
  return out;
}

}  // namespace finescale
