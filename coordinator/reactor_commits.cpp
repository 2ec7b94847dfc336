// SPDX-License-Identifier: Apache-2.0
// How stages end: commits, of which every part is judged by its lease, and failures.
#include <algorithm>
#include <utility>

#include "coordinator/reactor.h"

namespace finescale {

Outbox Reactor::on_commit(std::uint64_t request, const proto::CommitRequest& message, double now) {
  Outbox out;
  GangEntry* gang = known(message.caller());
  if (gang != nullptr) {
    gang->last_seen = now;  // alive, whatever became of its lease
  }
  Publish publish{request, message.caller().gang(), {}};
  publish.parts.push_back(judge(message, gang, out));
  publish.parts.front().commit.clear_more();
  publish.parts.front().commit.clear_next();
  for (const proto::CommitRequest& part : message.more()) {
    publish.parts.push_back(judge(part, gang, out));
  }
  const bool is_answered = std::all_of(publish.parts.begin(), publish.parts.end(),
                                       [](const CommitPart& part) { return part.reply; });
  if (!is_answered) {
    out.push_back(std::move(publish));
    return out;
  }
  std::vector<proto::CommitReply> replies;
  for (CommitPart& part : publish.parts) {
    replies.push_back(std::move(*part.reply));
  }
  out.push_back(Reply{request, joined(std::move(replies))});
  return out;
}

CommitPart Reactor::judge(proto::CommitRequest commit, const GangEntry* gang, Outbox& out) {
  CommitPart part{std::move(commit), std::nullopt};
  StageEntry* stage =
      gang == nullptr ? nullptr : leased(part.commit.key(), part.commit.epoch(), gang->id);
  if (stage == nullptr) {
    part.reply.emplace().set_accepted(false);
    part.reply->set_why("the lease is not valid any more");
  } else if (part.commit.result().outcome() == proto::StageResult::STOPPED) {
    // Its checkpoint, if it has one, waits in the attempt's directory.
    stages_.set_state(*stage, StageState::kPending);
    stage->stored.gang = 0;
    failures_.doom_if_input_failed(*stage);
    out.push_back(SaveStage{part.commit.key()});
    part.reply.emplace().set_accepted(true);
  }
  return part;
}

Outbox Reactor::committed(const std::string& key, const proto::StageResult& result) {
  StageEntry& stage = *stages_.find(key);
  const bool diverged = result.outcome() == proto::StageResult::DIVERGED;
  stages_.set_state(stage, diverged ? StageState::kFailed : StageState::kDone);
  stage.stored.error_kind = diverged ? "diverged" : "";
  stage.stored.error = diverged ? result.why() : "";
  stage.stored.result = result.SerializeAsString();
  stage.stored.gang = 0;
  orders_.learn(stage, result);
  Outbox out;
  if (diverged) {
    failures_.fail_dependents(stage, result.why(), out);
  }
  return out;
}

Outbox Reactor::commit_refused(const std::string& key, const std::string& why, double now) {
  Outbox out;
  attempt_failed(*stages_.find(key), "checkpoint", why, now, out);
  return out;
}

Outbox Reactor::on_fail(std::uint64_t request, const proto::FailRequest& message, double now) {
  Outbox out;
  GangEntry* gang = known(message.caller());
  if (gang != nullptr) {
    gang->last_seen = now;
  }
  if (StageEntry* stage =
          gang == nullptr ? nullptr : leased(message.key(), message.epoch(), gang->id);
      stage != nullptr) {
    attempt_failed(*stage, message.kind(), message.message(), now, out);
  }
  out.push_back(Reply{request, proto::FailReply()});
  return out;
}

}  // namespace finescale
