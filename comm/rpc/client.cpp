// SPDX-License-Identifier: Apache-2.0
#include "comm/rpc/client.h"

#include <chrono>

#include <grpcpp/grpcpp.h>

#include "comm/proto/gang.grpc.pb.h"
#include "core/error.h"

namespace finescale {

struct CoordinatorClient::Impl {
  std::unique_ptr<proto::Coordinator::Stub> stub;
  std::string target;

  template <class Reply, class Request>
  Reply call(grpc::Status (proto::Coordinator::Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Reply*),
             const Request& request, double deadline) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(static_cast<long>(deadline * 1000)));
    Reply reply;
    const grpc::Status status = ((*stub).*method)(&context, request, &reply);
    if (!status.ok()) {
      const bool refused = status.error_code() == grpc::StatusCode::PERMISSION_DENIED;
      throw Error(refused ? ErrorKind::kProtocol : ErrorKind::kComm,
                  "coordinator at " + target + ": " + status.error_message());
    }
    return reply;
  }
};

CoordinatorClient::CoordinatorClient(const CoordinatorAddress& address)
    : impl_(std::make_unique<Impl>()) {
  impl_->target = address.host + ":" + std::to_string(address.port);
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  impl_->stub = proto::Coordinator::NewStub(
      grpc::CreateCustomChannel(impl_->target, grpc::InsecureChannelCredentials(), arguments));
}

CoordinatorClient::~CoordinatorClient() = default;

proto::RegisterReply CoordinatorClient::enroll(const proto::RegisterRequest& request,
                                               double deadline) {
  return impl_->call(&proto::Coordinator::Stub::Register, request, deadline);
}
proto::NextReply CoordinatorClient::next(const proto::NextRequest& request, double deadline) {
  return impl_->call(&proto::Coordinator::Stub::Next, request, deadline);
}
proto::HeartbeatReply CoordinatorClient::heartbeat(const proto::HeartbeatRequest& request,
                                                   double deadline) {
  return impl_->call(&proto::Coordinator::Stub::Heartbeat, request, deadline);
}
proto::CommitReply CoordinatorClient::commit(const proto::CommitRequest& request, double deadline) {
  return impl_->call(&proto::Coordinator::Stub::Commit, request, deadline);
}
proto::FailReply CoordinatorClient::fail(const proto::FailRequest& request, double deadline) {
  return impl_->call(&proto::Coordinator::Stub::Fail, request, deadline);
}
proto::ControlReply CoordinatorClient::control(const proto::ControlRequest& request,
                                               double deadline) {
  return impl_->call(&proto::Coordinator::Stub::Control, request, deadline);
}

}  // namespace finescale
