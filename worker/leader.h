// SPDX-License-Identifier: Apache-2.0
// The leader's link to the coordinator: registration, heartbeats from a thread that never enters
// MPI, and the search for a new coordinator when the old one is gone. Owned by the gang loop of
// rank 0, which calls from one thread at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "comm/proto/gang.pb.h"
#include "comm/rpc/client.h"
#include "core/error.h"
#include "core/log.h"
#include "worker/gang_loop.h"
#include "worker/order_in_hand.h"

namespace finescale {

class Leader {
 public:
  enum class Word { kGoOn, kStop, kAbandon, kOrphaned };

  Leader(const GangOptions& options, int ranks, Logger& logger);
  ~Leader();
  Leader(const Leader&) = delete;
  Leader& operator=(const Leader&) = delete;

  // Blocks until registered; false when no coordinator came within the orphan timeout.
  [[nodiscard]] bool enroll();
  // The next order, or WAIT about once a second: ranks that hear of it know that nothing hangs.
  // EXIT also when orphaned.
  [[nodiscard]] proto::NextReply next();
  void begin_stage(const std::string& key, std::int64_t epoch);
  void end_stage();
  void progress(const proto::Progress& progress);
  [[nodiscard]] Word word() const noexcept { return word_.load(); }
  // Whether the artifacts of this order are flushed together, by the commit, and not by who writes
  // them.
  [[nodiscard]] bool commits_in_groups() const;
  // With the question for the next order, next(), or when this one ends: end_order().
  void commit(const std::string& attempt_dir, const std::string& manifest_hash,
              const proto::StageResult& result);
  // What is finished, and back what is not begun: before the gang ends.
  void end_order();
  void fail(const std::string& kind, const std::string& message);

 private:
  [[nodiscard]] proto::Caller caller() const;
  [[nodiscard]] std::shared_ptr<CoordinatorClient> client() const;
  bool try_enroll();  // once, with the address that is in the campaign now
  // Why not; "" when it is registered.
  [[nodiscard]] std::string enroll_once();
  bool reconnect();  // until the orphan timeout
  void obey(const proto::HeartbeatRequest& request, const proto::HeartbeatReply& reply);
  [[nodiscard]] bool is_working();
  void beat(const std::stop_token& stop);
  template <class Call>
  bool persistently(const Call& call);
  void commit_finished();
  [[nodiscard]] proto::NextReply ask();
  [[nodiscard]] std::vector<proto::CommitRequest> flushed_parts();
  [[nodiscard]] proto::NextReply commit_parts(CoordinatorClient& client,
                                              const std::vector<proto::CommitRequest>& parts,
                                              bool asks);
  void fail_parts(const std::vector<proto::CommitRequest>& parts, const Error& error);
  void give_back_what_waits(CoordinatorClient& client);
  void report_failure(const std::string& key, std::int64_t epoch, const std::string& kind,
                      const std::string& message);

  GangOptions options_;
  int ranks_;
  Logger& logger_;
  mutable std::mutex mutex_;  // guards all below but committing_ and word_
  std::mutex committing_;     // one commit at a time; taken before mutex_
  std::condition_variable_any changed_;
  // Shared: the heartbeat thread may put a new one in place while the main thread is inside a call
  // of the old one.
  std::shared_ptr<CoordinatorClient> client_;
  CoordinatorAddress address_;
  std::int64_t enrolled_epoch_ = 0;  // of the coordinator behind client_
  std::string key_;
  std::int64_t epoch_ = 0;
  std::int64_t number_ = 0;  // of the last call for work
  proto::Progress progress_;
  OrderInHand order_;
  std::string trouble_;  // why it is not registered
  std::atomic<Word> word_{Word::kGoOn};
  std::jthread beats_;
};

}  // namespace finescale
