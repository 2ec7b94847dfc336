// SPDX-License-Identifier: Apache-2.0
// What the scheduler wants done, to be carried out in order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "comm/proto/gang.pb.h"

namespace finescale {

struct LaunchGang {
  std::int64_t id;
};
struct KillGang {
  std::int64_t id;
  std::string why;
};
struct SaveStage {
  std::string key;
};  // write the entry's stored part
struct Reply {
  std::uint64_t request;
  std::variant<proto::RegisterReply, proto::NextReply, proto::HeartbeatReply, proto::CommitReply,
               proto::FailReply>
      reply;
};
struct Order {
  std::uint64_t request;
  std::string key;
  std::int64_t gang;
  int thread_shares = 1;          // gangs whose threads the stage may use
  std::vector<std::string> more;  // short stages behind it
};                                // save the leases, then answer Next with RUN
struct CommitPart {
  proto::CommitRequest commit;
  std::optional<proto::CommitReply> reply;  // absent: it is to be published
};
struct Publish {
  std::uint64_t request;
  std::int64_t gang;
  std::vector<CommitPart> parts;
};  // verify, rename, record, answer
using Action = std::variant<LaunchGang, KillGang, SaveStage, Reply, Order, Publish>;
using Outbox = std::vector<Action>;

// One answer to all parts of a commit.
[[nodiscard]] inline proto::CommitReply joined(std::vector<proto::CommitReply> replies) {
  proto::CommitReply whole = std::move(replies.front());
  for (std::size_t i = 1; i < replies.size(); ++i) {
    *whole.add_more() = std::move(replies[i]);
  }
  return whole;
}

}  // namespace finescale
