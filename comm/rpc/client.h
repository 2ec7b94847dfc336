// SPDX-License-Identifier: Apache-2.0
// Calls of a gang's leader or of the command line to the coordinator. Blocking, with deadlines; one
// thread at a time per client object.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "comm/proto/gang.pb.h"
#include "comm/rpc/certificates.h"

namespace finescale {

// coordinator.json of a campaign directory.
struct CoordinatorAddress {
  std::string host;
  int port = 0;
  std::string token;
  std::int64_t epoch = 0;
  std::int64_t pid = 0;
  std::string machine;               // name of the coordinator's; a loopback host is its own
  std::optional<TlsIdentity> tls{};  // of who calls it; it must be there off loopback
};

class CoordinatorClient {
 public:
  // Throws kProtocol when the address asks for plaintext off loopback, or its certificate is not
  // one that the coordinator would believe.
  explicit CoordinatorClient(const CoordinatorAddress& address);
  ~CoordinatorClient();
  CoordinatorClient(const CoordinatorClient&) = delete;
  CoordinatorClient& operator=(const CoordinatorClient&) = delete;

  // Each throws kComm when the coordinator cannot be reached within the deadline (seconds),
  // kProtocol when it refuses who calls, kData when it refuses what was said.
  [[nodiscard]] proto::RegisterReply enroll(const proto::RegisterRequest& request, double deadline);
  [[nodiscard]] proto::NextReply next(const proto::NextRequest& request, double deadline);
  [[nodiscard]] proto::HeartbeatReply heartbeat(const proto::HeartbeatRequest& request,
                                                double deadline);
  [[nodiscard]] proto::CommitReply commit(const proto::CommitRequest& request, double deadline);
  [[nodiscard]] proto::FailReply fail(const proto::FailRequest& request, double deadline);
  [[nodiscard]] proto::ControlReply control(const proto::ControlRequest& request, double deadline);
  // Ends calls under way and to come with kComm: another coordinator has been found. Any thread.
  void hang_up();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace finescale
