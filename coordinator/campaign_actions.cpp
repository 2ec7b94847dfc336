// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign_actions.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "coordinator/artifacts.h"
#include "core/crash_point.h"
#include "core/error.h"
#include "core/overloaded.h"

namespace finescale {

namespace {

const char* device_name(config::DeviceKind device) {
  switch (device) {
    case config::DEVICE_KIND_CUDA:
      return "cuda";
    case config::DEVICE_KIND_CPU:
      return "cpu";
    case config::DEVICE_KIND_AUTO:
      break;
  }
  return "auto";
}

int threads_per_rank(const config::Resources& resources, int cores) {
  return resources.threads_per_rank() > 0
             ? resources.threads_per_rank()
             : std::max(1, cores / (resources.gangs() * resources.ranks_per_gang()));
}

// Before the store says that they are there. False: `why` not; it is tried again.
bool sync_artifacts(Artifacts& artifacts, std::string& why) {
  try {
    artifacts.sync();
    return true;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kResource && error.kind() != ErrorKind::kIo) {
      throw;
    }
    why = error.what();
    return false;
  }
}

}  // namespace

void CampaignActions::carry_out(const Outbox& outbox) {
  for (const Action& action : outbox) {
    std::visit(Overloaded{
                   [&](const LaunchGang& a) { launch(a.id); },
                   [&](const KillGang& a) {
                     parts_.logger.warn("gang {}: {}: killed", a.id, a.why);
                     parts_.launcher.kill(a.id);
                   },
                   [&](const SaveStage& a) { save(a.key); },
                   [&](const Reply& a) {
                     std::visit(
                         [&](const auto& message) { answer_when_stored(a.request, message); },
                         a.reply);
                   },
                   [&](const Order& a) { order(a); },
                   [&](const Publish& a) { publish(a); },
               },
               action);
  }
  say_doomed();
}

// Of a failure near the root of a large sweep hundreds of thousands: some, and how many more.
void CampaignActions::say_doomed() {
  constexpr std::size_t kShown = 4;
  for (std::size_t i = 0; i < std::min(kShown, doomed_.size()); ++i) {
    const StageEntry& stage = *doomed_[i];
    parts_.logger.error("{} {}: {}", stage.trial, stage.stored.label, stage.stored.error);
  }
  if (doomed_.size() > kShown) {
    parts_.logger.error("{} more stages need what has failed", doomed_.size() - kShown);
  }
  doomed_.clear();
}

bool CampaignActions::flush() {
  std::string why;
  if (!sync_artifacts(parts_.artifacts, why) || !parts_.book.flush(why)) {
    if (!std::exchange(is_stuck_, true)) {
      parts_.logger.error("{}: gangs wait for their answers until it can be written", why);
    }
    return false;
  }
  if (std::exchange(is_stuck_, false)) {
    parts_.logger.info("the store can be written again");
  }
  if (parts_.claim != nullptr && !waiting_.empty()) {
    parts_.claim->require();
  }
  for (const std::function<void()>& action : std::exchange(waiting_, {})) {
    action();
  }
  return true;
}

void CampaignActions::answer_when_stored(std::uint64_t request, RpcReply reply,
                                         std::vector<std::string> ordered) {
  if (request == joined_ && std::holds_alternative<proto::CommitReply>(reply)) {
    commit_reply_ = std::move(std::get<proto::CommitReply>(reply));
    return;
  }
  if (request == joined_) {
    joined_ = 0;
    *commit_reply_.mutable_next() = std::move(std::get<proto::NextReply>(reply));
    reply = std::move(commit_reply_);
  }
  when_stored([this, request, reply = std::move(reply), keys = std::move(ordered)]() mutable {
    name_older_attempts(keys, reply);
    parts_.answers.answer(request, std::move(reply));
  });
}

// As they are when the order goes out: a full disk may have held it up, and gangs that were given
// up save meanwhile.
void CampaignActions::name_older_attempts(const std::vector<std::string>& keys, RpcReply& reply) {
  if (keys.empty()) {
    return;
  }
  auto* commit = std::get_if<proto::CommitReply>(&reply);
  auto& whole = commit != nullptr ? *commit->mutable_next() : std::get<proto::NextReply>(reply);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    proto::NextReply& order = i == 0 ? whole : *whole.mutable_more(static_cast<int>(i) - 1);
    for (std::string& place : parts_.artifacts.older_attempts(keys[i], order.epoch())) {
      order.add_resume_dirs(std::move(place));
    }
  }
}

GangLaunch CampaignActions::gang_launch(std::int64_t id) const {
  const config::Resources& resources = parts_.sweep.resources();
  GangLaunch gang;
  gang.gang = id;
  gang.coordinator_epoch = parts_.book.epoch();
  gang.reaches_all = resources.has_interface();
  gang.campaign = parts_.book.directory();
  gang.gangs = resources.gangs();
  gang.ranks = resources.ranks_per_gang();
  gang.threads = threads_per_rank(resources, parts_.launcher.cores());
  gang.device = device_name(resources.device());
  gang.orphan_timeout = resources.orphan_timeout();
  gang.hang_timeout = resources.hang_timeout();
  gang.log_file = gang.campaign + "/logs/gang-" + std::to_string(id) + ".log";
  return gang;
}

void CampaignActions::launch(std::int64_t id) {
  parts_.book.put_gang(id, parts_.launcher.start(gang_launch(id)));
  when_stored([this, id] { parts_.launcher.saved(id); });
  crash_point("coordinator.after_gang_launch");
}

void CampaignActions::save(const std::string& key) {
  const StageEntry& stage = parts_.reactor.stages().at(key);
  if (stage.stored.state == StageState::kFailed && stage.stored.error_kind == kInputFailed) {
    doomed_.push_back(&stage);
  } else if (stage.stored.state == StageState::kFailed) {
    parts_.logger.error("{} {}: {}", stage.trial, stage.stored.label, stage.stored.error);
  } else if (!stage.stored.error.empty()) {
    parts_.logger.warn("{} {}: {} (attempt {}): will be tried again", stage.trial,
                       stage.stored.label, stage.stored.error, stage.stored.attempts);
  }
  parts_.book.update_stage(stage.stored);
}

void CampaignActions::order(const Order& a) {
  proto::NextReply reply = run_order(a.key);
  reply.set_thread_shares(a.thread_shares);
  std::vector<std::string> keys = {a.key};
  for (const std::string& key : a.more) {
    *reply.add_more() = run_order(key);
    keys.push_back(key);
  }
  answer_when_stored(a.request, std::move(reply), std::move(keys));
}

proto::NextReply CampaignActions::run_order(const std::string& key) {
  const StageEntry& stage = parts_.reactor.stages().at(key);
  const std::string& directory = parts_.book.directory();
  crash_point("coordinator.before_lease");
  parts_.book.update_stage(stage.stored);
  when_stored([] { crash_point("coordinator.after_lease"); });
  proto::NextReply reply;
  reply.set_order(proto::NextReply::RUN);
  reply.set_stage(parts_.book.spec_of(stage.stored));
  reply.set_epoch(stage.stored.epoch);
  reply.set_attempt_dir(attempt_directory(directory, key, stage.stored.epoch));
  for (const StageEntry* input : stage.sources) {
    reply.add_input_dirs(artifact_directory(directory, input->stored.key));
  }
  reply.set_trial(stage.trial);
  return reply;
}

void CampaignActions::publish(const Publish& a) {
  std::vector<proto::CommitReply> replies;
  for (const CommitPart& part : a.parts) {
    const proto::CommitRequest& commit = part.commit;
    proto::CommitReply& reply = replies.emplace_back();
    if (part.reply) {
      reply = *part.reply;
    } else if (parts_.reactor.is_leased(commit.key(), commit.epoch(), a.gang)) {
      reply = publish(commit);
    } else {
      reply.set_accepted(false);
      reply.set_why("the lease is not valid any more");  // the same stage twice
    }
  }
  answer_when_stored(a.request, joined(std::move(replies)));
}

proto::CommitReply CampaignActions::publish(const proto::CommitRequest& commit) {
  const std::string& key = commit.key();
  proto::CommitReply reply;
  proto::StageResult result;
  const std::string why = parts_.artifacts.publish(commit, result);
  if (!why.empty()) {
    reply.set_accepted(false);
    reply.set_why(why);
    carry_out(parts_.reactor.commit_refused(key, why, parts_.clock.now()));
    return reply;
  }
  const Outbox more = parts_.reactor.committed(key, result);
  crash_point("coordinator.before_commit_transaction");
  save(key);
  carry_out(more);
  reply.set_accepted(true);
  when_stored([this, key, epoch = commit.epoch()] {
    crash_point("coordinator.after_commit_transaction");
    parts_.artifacts.remove_attempts(key, epoch);
    const bool is_done = parts_.reactor.stages().at(key).stored.state == StageState::kDone;
    if (parts_.status != nullptr && is_done) {
      report_done(key);
    }
  });
  return reply;
}

bool CampaignActions::renew_damaged_inputs(const std::string& key) {
  const StageEntry* stage = parts_.reactor.stages().find(key);
  bool any = false;
  for (const StageEntry* input : stage == nullptr ? std::vector<StageEntry*>() : stage->sources) {
    const std::string& name = input->stored.key;
    const std::string why =
        input->stored.state == StageState::kDone ? parts_.artifacts.damage(name) : "";
    if (!why.empty()) {
      parts_.logger.error("{} {} will be made again: {}", input->trial, input->stored.label, why);
      when_stored([this, name] { parts_.artifacts.discard(name); });
      parts_.book.load_inputs_of(name, parts_.reactor, parts_.clock.now());
      carry_out(parts_.reactor.artifact_lost(name, why));
      any = true;
    }
  }
  return any;
}

void CampaignActions::report_done(const std::string& key) {
  const StageEntry& stage = parts_.reactor.stages().at(key);
  proto::StageResult result;
  (void)result.ParseFromString(stage.stored.result);
  std::string values;
  for (const proto::EvalRow& row : result.evals()) {
    char text[128];
    std::snprintf(text, sizeof text, " %s.%s=%.5g", row.set().c_str(), row.metric().c_str(),
                  row.value());
    values += text;
  }
  if (!parts_.status->is_live() || !values.empty()) {
    parts_.status->clear_line();
    parts_.logger.info("{} {} done in {:.1f} s{}", stage.trial, stage.stored.label,
                       result.seconds(), values);
  }
}

}  // namespace finescale
