// SPDX-License-Identifier: Apache-2.0
#include "comm/rpc/server.h"

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include <grpcpp/grpcpp.h>

#include "comm/proto/gang.grpc.pb.h"
#include "comm/rpc/peer_messages.h"
#include "core/error.h"
#include "core/secret.h"

namespace finescale {

namespace {

template <class Request>
const std::string& token_of(const Request& request) {
  if constexpr (requires { request.caller(); }) {
    return request.caller().token();
  } else {
    return request.token();
  }
}

std::shared_ptr<grpc::ServerCredentials> credentials_of(const Endpoint& endpoint) {
  if (!endpoint.server) {
    if (!is_loopback(endpoint.host)) {
      throw Error(ErrorKind::kConfig,
                  "plaintext off loopback is refused: no certificate for " + endpoint.host,
                  "resources.interface");
    }
    return grpc::InsecureServerCredentials();
  }
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = endpoint.server->authority;
  options.pem_key_cert_pairs = {{endpoint.server->own.key, endpoint.server->own.certificate}};
  return grpc::SslServerCredentials(options);
}

}  // namespace

struct RpcServer::Impl final : proto::Coordinator::Service {
  struct Waiting {
    std::optional<RpcReply> reply;
    std::condition_variable done;
  };

  template <class Request, class Reply>
  grpc::Status handle(const Request& request, Reply* reply) {
    if (!is_same_secret(token_of(request), token)) {
      return {grpc::StatusCode::PERMISSION_DENIED, "wrong token"};
    }
    if (const std::string fault = message_fault(request); !fault.empty()) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "refused: " + fault};
    }
    std::unique_lock lock(mutex);
    if (closing) {
      return {grpc::StatusCode::UNAVAILABLE, "the coordinator ends"};
    }
    const std::uint64_t id = ++last_id;
    Waiting waiting;
    waiters[id] = &waiting;
    queue.push_back({id, request});
    if (auto* failure = std::get_if<proto::FailRequest>(&queue.back().message)) {
      failure->set_message(clean_text(failure->message(), kMaxMessageBytes));
    }
    arrived.notify_all();
    // A call that nobody answers must not keep the server from ending.
    waiting.done.wait(lock, [&] { return waiting.reply.has_value() || closing; });
    waiters.erase(id);
    if (!waiting.reply) {
      return {grpc::StatusCode::UNAVAILABLE, "the coordinator ends"};
    }
    *reply = std::get<Reply>(*waiting.reply);
    return grpc::Status::OK;
  }

  grpc::Status Register(grpc::ServerContext*, const proto::RegisterRequest* q,
                        proto::RegisterReply* r) override {
    return handle(*q, r);
  }
  grpc::Status Next(grpc::ServerContext*, const proto::NextRequest* q,
                    proto::NextReply* r) override {
    return handle(*q, r);
  }
  grpc::Status Heartbeat(grpc::ServerContext*, const proto::HeartbeatRequest* q,
                         proto::HeartbeatReply* r) override {
    return handle(*q, r);
  }
  grpc::Status Commit(grpc::ServerContext*, const proto::CommitRequest* q,
                      proto::CommitReply* r) override {
    return handle(*q, r);
  }
  grpc::Status Fail(grpc::ServerContext*, const proto::FailRequest* q,
                    proto::FailReply* r) override {
    return handle(*q, r);
  }
  grpc::Status Control(grpc::ServerContext*, const proto::ControlRequest* q,
                       proto::ControlReply* r) override {
    return handle(*q, r);
  }

  std::string token;
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<RpcRequest> queue;
  std::map<std::uint64_t, Waiting*> waiters;
  std::uint64_t last_id = 0;
  bool closing = false;
  bool woken = false;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

RpcServer::RpcServer(const Endpoint& endpoint, std::string token)
    : impl_(std::make_unique<Impl>()) {
  impl_->token = std::move(token);
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A call holds a thread until it is answered; beside those one that listens is enough.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
  builder.AddListeningPort(endpoint.host + ":0", credentials_of(endpoint), &impl_->port);
  builder.RegisterService(impl_.get());
  impl_->server = builder.BuildAndStart();
  if (impl_->server == nullptr || impl_->port == 0) {
    throw Error(ErrorKind::kConfig, "cannot listen on " + endpoint.host, "resources.interface",
                "it must be an address of this machine: ip -brief address lists them");
  }
}

RpcServer::~RpcServer() {
  {
    const std::scoped_lock lock(impl_->mutex);
    impl_->closing = true;
    for (auto& [id, waiting] : impl_->waiters) {
      waiting->done.notify_all();
    }
  }
  impl_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  impl_->server->Wait();
}

int RpcServer::port() const noexcept {
  return impl_->port;
}

std::vector<RpcRequest> RpcServer::take(double seconds) {
  std::unique_lock lock(impl_->mutex);
  impl_->arrived.wait_for(lock, std::chrono::duration<double>(seconds),
                          [&] { return !impl_->queue.empty() || impl_->woken; });
  impl_->woken = false;
  return std::exchange(impl_->queue, {});
}

void RpcServer::answer(std::uint64_t id, RpcReply reply) {
  const std::scoped_lock lock(impl_->mutex);
  if (const auto found = impl_->waiters.find(id); found != impl_->waiters.end()) {
    found->second->reply = std::move(reply);
    found->second->done.notify_all();
  }
}

void RpcServer::wake() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->woken = true;
  impl_->arrived.notify_all();
}

}  // namespace finescale
