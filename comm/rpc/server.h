// SPDX-License-Identifier: Apache-2.0
// The coordinator's side: every call is turned into a Request on one queue; the loop takes requests
// and answers them when it likes. gRPC's own threads only wait. The token is checked here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "comm/proto/gang.pb.h"

namespace finescale {

using RpcMessage = std::variant<proto::RegisterRequest, proto::NextRequest, proto::HeartbeatRequest,
                                proto::CommitRequest, proto::FailRequest, proto::ControlRequest>;
using RpcReply = std::variant<proto::RegisterReply, proto::NextReply, proto::HeartbeatReply,
                              proto::CommitReply, proto::FailReply, proto::ControlReply>;

struct RpcRequest {
  std::uint64_t id = 0;
  RpcMessage message;
};

class RpcServer {
 public:
  // Listens on host with a free port. Requests whose token differs are refused and never seen.
  // Throws kComm.
  RpcServer(const std::string& host, std::string token);
  ~RpcServer();
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  [[nodiscard]] int port() const noexcept;
  // Waits up to `seconds` for requests and returns all that are there.
  [[nodiscard]] std::vector<RpcRequest> take(double seconds);
  // Answers one request; an unknown id (its caller gave up) is ignored.
  void answer(std::uint64_t id, RpcReply reply);
  // Wakes a waiting take(), from any thread.
  void wake();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace finescale
