// SPDX-License-Identifier: Apache-2.0
// The coordinator's side: every call is turned into a Request on one queue; the loop takes requests
// and answers them when it likes. gRPC's own threads only wait. Who calls and what it says are
// checked here: certificate, token, size, fields.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "comm/proto/gang.pb.h"
#include "comm/rpc/endpoint.h"

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
  // Listens at the endpoint with a free port. Requests whose token differs, or that do not pass
  // message_fault, are refused and never seen. Throws kConfig when the host is no address of this
  // machine, or when it is not loopback and has no certificate.
  RpcServer(const Endpoint& endpoint, std::string token);
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
