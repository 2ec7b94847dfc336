// SPDX-License-Identifier: Apache-2.0
// Calls of a coordinator that does not answer.
#include "comm/rpc/client.h"

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "comm/rpc/endpoint.h"
#include "comm/rpc/server.h"
#include "core/error.h"

namespace finescale {
namespace {

constexpr double kPatience = 100;

proto::CommitRequest commit() {
  proto::CommitRequest request;
  request.mutable_caller()->set_token("the token");
  request.mutable_caller()->set_gang(1);
  return request;
}

bool ends_with_comm(CoordinatorClient& client) {
  try {
    (void)client.commit(commit(), kPatience);
    return false;
  } catch (const Error& error) {
    return error.kind() == ErrorKind::kComm;
  }
}

TEST(CoordinatorClient, HangingUpEndsCallsUnderWayAndToCome) {
  RpcServer server(Endpoint{}, "the token");  // hears and says nothing
  CoordinatorClient client({"127.0.0.1", server.port(), "the token", 1, 0, "", std::nullopt});
  const auto begin = std::chrono::steady_clock::now();
  std::atomic<bool> is_comm{false};
  {
    const std::jthread caller([&] { is_comm = ends_with_comm(client); });
    while (server.take(0.05).empty()) {
    }
    client.hang_up();
  }
  EXPECT_TRUE(is_comm);
  EXPECT_TRUE(ends_with_comm(client));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::duration<double>(kPatience / 2));
}

}  // namespace
}  // namespace finescale
