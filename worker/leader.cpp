// SPDX-License-Identifier: Apache-2.0
#include "worker/leader.h"

#include <unistd.h>

#include <chrono>

#include "comm/rpc/address.h"
#include "comm/rpc/endpoint.h"
#include "comm/rpc/peer_messages.h"
#include "core/clock.h"
#include "core/crash_point.h"
#include "core/device.h"
#include "core/error.h"
#include "core/files.h"
#include "core/host_name.h"
#include "core/stopwatch.h"

namespace finescale {

namespace {

constexpr double kBeatSeconds = 1;   // far below any sensible heartbeat_timeout
constexpr double kCallSeconds = 10;  // a coordinator that needs longer is gone or stopped
constexpr double kCommitSeconds = 120;
constexpr double kSayAgainSeconds = 20;  // while no coordinator is found
constexpr std::size_t kMaxFailureBytes = 32768;

double clock_seconds() {
  return SystemClock().now();
}

}  // namespace

Leader::Leader(const GangOptions& options, int ranks, Logger& logger)
    : options_(options), ranks_(ranks), logger_(logger) {}

Leader::~Leader() {
  if (beats_.joinable()) {
    beats_.request_stop();
    changed_.notify_all();
  }
}

proto::Caller Leader::caller() const {
  proto::Caller caller;
  caller.set_token(address_.token);
  caller.set_coordinator_epoch(address_.epoch);
  caller.set_gang(options_.gang);
  return caller;
}

std::shared_ptr<CoordinatorClient> Leader::client() const {
  const std::scoped_lock lock(mutex_);
  return client_;
}

bool Leader::try_enroll() {
  std::string trouble;
  try {
    trouble = enroll_once();
  } catch (const Error& error) {
    trouble = error.what();
  }
  const std::scoped_lock lock(mutex_);
  trouble_ = std::move(trouble);
  return trouble_.empty();
}

std::string Leader::enroll_once() {
  const std::optional<CoordinatorAddress> address = read_address(options_.campaign);
  if (!address) {
    return "no coordinator.json is in " + options_.campaign;
  }
  if (is_loopback(address->host) && address->machine != host_name()) {
    return "the coordinator on " + address->machine + " serves only its own machine, and this is " +
           host_name() + ": give resources.interface";
  }
  auto client = std::make_shared<CoordinatorClient>(*address);
  proto::RegisterRequest request;
  {
    const std::scoped_lock lock(mutex_);
    address_ = *address;
    *request.mutable_caller() = caller();
    request.mutable_caller()->set_number(++number_);
    request.set_held_key(key_);
    request.set_held_epoch(epoch_);
    for (proto::HeldLease& lease : order_.leases()) {
      *request.add_also_held() = std::move(lease);
    }
  }
  request.set_ranks(ranks_);
  request.set_host(host_name());
  request.set_pid(::getpid());
  request.set_environment(std::string("isa=") + isa_name(active_isa()) +
                          " threads=" + std::to_string(options_.threads));
  const proto::RegisterReply reply = client->enroll(request, kCallSeconds);
  if (!reply.accepted()) {
    return "the coordinator refuses this gang: " + reply.why();
  }
  const std::scoped_lock lock(mutex_);
  if (client_ != nullptr && address->epoch != enrolled_epoch_) {
    client_->hang_up();  // a coordinator that was stopped keeps a caller waiting
  }
  enrolled_epoch_ = address->epoch;
  client_ = std::move(client);
  if (!key_.empty() && !reply.keep_lease()) {
    word_ = Word::kAbandon;
  }
  return "";
}

bool Leader::reconnect() {
  const Stopwatch watch;
  std::string said;
  double said_at = 0;
  while (!try_enroll()) {
    const double elapsed = watch.seconds();
    const std::string trouble = [this] {
      const std::scoped_lock lock(mutex_);
      return trouble_;
    }();
    if (elapsed > options_.orphan_timeout) {  // "rank 0: ..." is what the launcher quotes
      logger_.error("rank 0: no coordinator for {} s, this gang ends: {}", options_.orphan_timeout,
                    trouble);
      return false;
    }
    if (trouble != said || elapsed > said_at + kSayAgainSeconds) {
      logger_.warn("no coordinator yet: {}", trouble);
      said = trouble;
      said_at = elapsed;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return true;
}

bool Leader::enroll() {
  crash_point("worker.before_register");
  if (!reconnect()) {
    return false;
  }
  beats_ = std::jthread([this](const std::stop_token& stop) { beat(stop); });
  return true;
}

// Repeats a call over coordinators until it is answered; false when none came back in time. Throws
// kData when the coordinator refuses what was said: asked again it would say the same.
template <class Call>
bool Leader::persistently(const Call& call) {
  for (;;) {
    try {
      call();
      return true;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kData) {
        throw;
      }
      logger_.warn("{}", error.what());
      if (!reconnect()) {
        return false;
      }
    }
  }
}

proto::NextReply Leader::next() {
  {
    const std::scoped_lock lock(mutex_);
    if (std::optional<proto::NextReply> stage = order_.begin_next(clock_seconds())) {
      return std::move(*stage);
    }
  }
  proto::NextReply reply;
  if (word_ == Word::kOrphaned || !persistently([&] { reply = ask(); })) {
    reply.set_order(proto::NextReply::EXIT);
    word_ = Word::kOrphaned;
  }
  const std::scoped_lock lock(mutex_);
  return order_.accept(std::move(reply), clock_seconds());
}

// For the next order. What is finished goes with the question, so that the coordinator has one call
// and one transaction for both.
proto::NextReply Leader::ask() {
  const std::scoped_lock one_at_a_time(committing_);
  const std::vector<proto::CommitRequest> parts = flushed_parts();
  if (!parts.empty()) {
    return commit_parts(*client(), parts, true);
  }
  proto::NextRequest request;
  request.set_most(OrderInHand::kMost);
  {
    const std::scoped_lock lock(mutex_);
    *request.mutable_caller() = caller();
    request.mutable_caller()->set_number(++number_);
  }
  return client()->next(request, kCallSeconds);
}

void Leader::begin_stage(const std::string& key, std::int64_t epoch) {
  const std::scoped_lock lock(mutex_);
  key_ = key;
  epoch_ = epoch;
  progress_.Clear();
  word_ = Word::kGoOn;
}

void Leader::end_stage() {
  const std::scoped_lock lock(mutex_);
  key_.clear();
  if (word_ != Word::kOrphaned) {
    word_ = Word::kGoOn;
  }
}

void Leader::progress(const proto::Progress& progress) {
  const std::scoped_lock lock(mutex_);
  progress_ = progress;
}

bool Leader::commits_in_groups() const {
  const std::scoped_lock lock(mutex_);
  return order_.is_group();
}

void Leader::commit(const std::string& attempt_dir, const std::string& manifest_hash,
                    const proto::StageResult& result) {
  if (word_ == Word::kAbandon) {
    return logger_.warn("the lease of {} went to another gang", attempt_dir);
  }
  proto::CommitRequest part;
  part.set_attempt_dir(attempt_dir);
  part.set_manifest_hash(manifest_hash);
  *part.mutable_result() = result;
  // The coordinator reads these from result.pb.
  part.mutable_result()->clear_steps();
  part.mutable_result()->clear_samples();
  part.mutable_result()->clear_memory();
  const std::scoped_lock lock(mutex_);
  part.set_key(key_);
  part.set_epoch(epoch_);
  order_.finish(std::move(part));
  if (result.outcome() == proto::StageResult::STOPPED) {
    order_.give_back();
  }
}

void Leader::end_order() {
  {
    const std::scoped_lock lock(mutex_);
    order_.give_back();
  }
  commit_finished();
}

// What is finished, on disk. Where it cannot be flushed its attempts have failed.
std::vector<proto::CommitRequest> Leader::flushed_parts() {
  std::vector<proto::CommitRequest> parts;
  {
    const std::scoped_lock lock(mutex_);
    parts = order_.finished();
    if (parts.empty() || !order_.is_group()) {
      return parts;
    }
  }
  try {
    sync_file_system(options_.campaign);
    return parts;
  } catch (const Error& error) {
    fail_parts(parts, error);
    return {};
  }
}

void Leader::fail_parts(const std::vector<proto::CommitRequest>& parts, const Error& error) {
  logger_.error("{}", describe(error));
  for (const proto::CommitRequest& part : parts) {
    report_failure(part.key(), part.epoch(), std::string(error_kind_name(error.kind())),
                   error.what());
  }
  const std::scoped_lock lock(mutex_);
  order_.drop_finished(parts.size());
}

// They are answered then; what comes next, or WAIT.
proto::NextReply Leader::commit_parts(CoordinatorClient& client,
                                      const std::vector<proto::CommitRequest>& parts, bool asks) {
  proto::CommitRequest request = joined(parts);
  {
    const std::scoped_lock lock(mutex_);
    *request.mutable_caller() = caller();
    if (asks) {
      request.mutable_caller()->set_number(++number_);
      request.mutable_next()->set_most(OrderInHand::kMost);
    }
  }
  crash_point("worker.before_commit_request");
  proto::CommitReply reply;
  try {
    reply = client.commit(request, kCommitSeconds);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) {
      throw;
    }
    reply.mutable_next()->set_order(proto::NextReply::WAIT);
    fail_parts(parts, error);
    return std::move(*reply.mutable_next());
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool is_first = i == 0;
    const int at = static_cast<int>(i) - 1;
    const bool is_heard = is_first || at < reply.more_size();
    if (is_heard && !(is_first ? reply : reply.more(at)).accepted()) {
      logger_.warn("commit of {} was refused: {}", parts[i].key(),
                   (is_first ? reply : reply.more(at)).why());
    }
  }
  crash_point("worker.after_commit_reply");
  const std::scoped_lock lock(mutex_);
  order_.drop_finished(parts.size());
  if (!reply.has_next()) {
    reply.mutable_next()->set_order(proto::NextReply::WAIT);
  }
  return std::move(*reply.mutable_next());
}

void Leader::commit_finished() {
  const std::scoped_lock one_at_a_time(committing_);
  const std::vector<proto::CommitRequest> parts = flushed_parts();
  if (!parts.empty() && !persistently([&] { (void)commit_parts(*client(), parts, false); })) {
    word_ = Word::kOrphaned;
  }
}

// A stage that was thought short is not: what waits behind it is for other gangs. Where nobody
// answers it goes back with the stage's own commit.
void Leader::give_back_what_waits(CoordinatorClient& client) {
  const std::unique_lock one_at_a_time(committing_, std::try_to_lock);
  if (!one_at_a_time) {
    return;
  }
  {
    const std::scoped_lock lock(mutex_);
    if (!order_.is_late(clock_seconds())) {
      return;
    }
    order_.give_back();
  }
  const std::vector<proto::CommitRequest> parts = flushed_parts();
  if (!parts.empty()) {
    (void)commit_parts(client, parts, false);
  }
}

void Leader::fail(const std::string& kind, const std::string& message) {
  std::string key;
  std::int64_t epoch = 0;
  {
    const std::scoped_lock lock(mutex_);
    key = key_;
    epoch = epoch_;
  }
  report_failure(key, epoch, kind, message);
}

void Leader::report_failure(const std::string& key, std::int64_t epoch, const std::string& kind,
                            const std::string& message) {
  (void)persistently([&] {
    proto::FailRequest request;
    {
      const std::scoped_lock lock(mutex_);
      *request.mutable_caller() = caller();
    }
    request.set_key(key);
    request.set_epoch(epoch);
    request.set_kind(kind);
    request.set_message(clean_text(message, kMaxFailureBytes));
    (void)client()->fail(request, kCallSeconds);
  });
}

void Leader::obey(const proto::HeartbeatRequest& request, const proto::HeartbeatReply& reply) {
  const std::scoped_lock lock(mutex_);
  if (request.key() != key_ || request.epoch() != epoch_ || key_.empty()) {
    return;  // an answer about a stage that is over
  }
  if (reply.action() == proto::HeartbeatReply::STOP) {
    word_ = Word::kStop;
  } else if (reply.action() == proto::HeartbeatReply::ABANDON) {
    word_ = Word::kAbandon;
  }
}

// With a stage, or with a commit that a coordinator which was stopped may leave without an answer.
bool Leader::is_working() {
  const std::scoped_lock lock(mutex_);
  return !key_.empty() || !order_.finished().empty();
}

void Leader::beat(const std::stop_token& stop) {
  Stopwatch last_answer;
  while (!stop.stop_requested()) {
    proto::HeartbeatRequest request;
    CoordinatorAddress address;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop,
                        std::chrono::milliseconds(static_cast<int>(kBeatSeconds * 1000)),
                        [] { return false; });
      if (stop.stop_requested()) {
        return;
      }
      *request.mutable_caller() = caller();
      request.set_key(key_);
      request.set_epoch(epoch_);
      *request.mutable_progress() = progress_;
      address = address_;
    }
    try {
      CoordinatorClient client(address);
      obey(request, client.heartbeat(request, kCallSeconds));
      last_answer.restart();
      give_back_what_waits(client);
    } catch (const Error&) {
      // While the main thread works, this one looks for the next coordinator.
      if (is_working() && try_enroll()) {
        last_answer.restart();
      } else if (last_answer.seconds() > options_.orphan_timeout) {
        word_ = Word::kOrphaned;
      }
    }
  }
}

}  // namespace finescale
