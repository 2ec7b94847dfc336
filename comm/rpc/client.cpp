// SPDX-License-Identifier: Apache-2.0
#include "comm/rpc/client.h"

#include <chrono>
#include <mutex>
#include <set>

#include <grpcpp/grpcpp.h>

#include "comm/proto/gang.grpc.pb.h"
#include "comm/rpc/endpoint.h"
#include "comm/rpc/peer_messages.h"
#include "core/error.h"

namespace finescale {

namespace {

constexpr const char* kAddressFile = "coordinator.json";

std::shared_ptr<grpc::ChannelCredentials> credentials_of(const CoordinatorAddress& address) {
  if (!address.tls) {
    if (!is_loopback(address.host)) {
      throw Error(ErrorKind::kProtocol,
                  "plaintext off loopback is refused: the coordinator at " + address.host +
                      " has no certificate",
                  kAddressFile, "start the coordinator again: it writes a new one");
    }
    return grpc::InsecureChannelCredentials();
  }
  // A peer that refuses a certificate just hangs up, so what is wrong with it is said here.
  const TlsIdentity& tls = *address.tls;
  if (const std::string fault = certificate_fault(tls.own.certificate, tls.authority);
      !fault.empty()) {
    throw Error(ErrorKind::kProtocol, "the certificate to call the coordinator with: " + fault,
                kAddressFile, "start the coordinator again: it writes a new one");
  }
  return grpc::SslCredentials({tls.authority, tls.own.key, tls.own.certificate});
}

Error call_failed(const grpc::Status& status, const std::string& target) {
  const std::string& said = status.error_message();
  std::string text = "coordinator at " + target + ": " + said;
  switch (status.error_code()) {
    case grpc::StatusCode::PERMISSION_DENIED:
      return {ErrorKind::kProtocol, std::move(text)};
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return {ErrorKind::kData, std::move(text)};
    default:
      break;
  }
  // As OpenSSL's library says it, and as BoringSSL's.
  for (const char* fault : {"certificate verify failed", "CERTIFICATE_VERIFY_FAILED"}) {
    if (said.find(fault) != std::string::npos) {
      return {ErrorKind::kProtocol,
              "coordinator at " + target + ": its certificate is not of this campaign's authority",
              kAddressFile, "is another program at that address by now?"};
    }
  }
  return {ErrorKind::kComm, std::move(text)};
}

}  // namespace

struct CoordinatorClient::Impl {
  std::unique_ptr<proto::Coordinator::Stub> stub;
  std::string target;
  std::mutex mutex;  // of what follows
  std::set<grpc::ClientContext*> under_way;
  bool has_hung_up = false;

  // Keeps a call where hang_up() finds it.
  class UnderWay {
   public:
    UnderWay(Impl& client, grpc::ClientContext& call) : client_(client), call_(call) {
      const std::scoped_lock lock(client_.mutex);
      if (client_.has_hung_up) {
        throw Error(ErrorKind::kComm,
                    "coordinator at " + client_.target + ": there is another one");
      }
      client_.under_way.insert(&call_);
    }
    ~UnderWay() {
      const std::scoped_lock lock(client_.mutex);
      client_.under_way.erase(&call_);
    }
    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(const UnderWay&) = delete;

   private:
    Impl& client_;
    grpc::ClientContext& call_;
  };

  template <class Reply, class Request>
  Reply call(grpc::Status (proto::Coordinator::Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Reply*),
             const Request& request, double deadline) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(static_cast<long>(deadline * 1000)));
    const UnderWay under_way_now(*this, context);
    Reply reply;
    const grpc::Status status = ((*stub).*method)(&context, request, &reply);
    if (!status.ok()) {
      throw call_failed(status, target);
    }
    return reply;
  }
};

CoordinatorClient::CoordinatorClient(const CoordinatorAddress& address)
    : impl_(std::make_unique<Impl>()) {
  impl_->target = address.host + ":" + std::to_string(address.port);
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  impl_->stub = proto::Coordinator::NewStub(
      grpc::CreateCustomChannel(impl_->target, credentials_of(address), arguments));
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

void CoordinatorClient::hang_up() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->has_hung_up = true;
  for (grpc::ClientContext* call : impl_->under_way) {
    call->TryCancel();
  }
}

}  // namespace finescale
