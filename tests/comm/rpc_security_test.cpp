// SPDX-License-Identifier: Apache-2.0
// Who may call a coordinator. TLS is served on loopback here; between hosts it is tested by
// hosts_sweep.sh.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>

#include <grpcpp/grpcpp.h>

#include "comm/proto/gang.grpc.pb.h"
#include "comm/rpc/address.h"
#include "comm/rpc/endpoint.h"
#include "comm/rpc/peer_messages.h"
#include "comm/rpc/server.h"
#include "core/error.h"
#include "core/files.h"
#include "core/host_name.h"

namespace finescale {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

// Answers whatever is let through, and counts it.
class Coordinator {
 public:
  explicit Coordinator(const Endpoint& endpoint)
      : server_(endpoint, "the token"), thread_([this](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            for (const RpcRequest& request : server_.take(0.05)) {
              ++heard_;
              server_.answer(request.id, proto::HeartbeatReply());
            }
          }
        }) {}
  [[nodiscard]] int port() const { return server_.port(); }
  [[nodiscard]] int heard() const { return heard_; }

 private:
  RpcServer server_;
  std::atomic<int> heard_{0};
  std::jthread thread_;
};

class RpcSecurityTest : public testing::Test {
 protected:
  static Endpoint endpoint_of(const KeyPair& authority, int days = 1) {
    Endpoint endpoint;
    endpoint.server = TlsIdentity{authority.certificate,
                                  issue_certificate(authority, {"coordinator", {"127.0.0.1"}},
                                                    CertificateUse::kServer, days)};
    return endpoint;
  }
  static TlsIdentity gang_of(const KeyPair& authority, int days = 1) {
    return {authority.certificate,
            issue_certificate(authority, {"gang", {}}, CertificateUse::kClient, days)};
  }
  static proto::HeartbeatRequest beat(const std::string& token = "the token") {
    proto::HeartbeatRequest request;
    request.mutable_caller()->set_token(token);
    request.mutable_caller()->set_gang(1);
    return request;
  }
  // What the caller is told; "" when it was answered.
  static std::string call(const Coordinator& coordinator, const std::optional<TlsIdentity>& tls,
                          const proto::HeartbeatRequest& request = beat()) {
    try {
      CoordinatorClient client(
          {"127.0.0.1", coordinator.port(), "the token", 1, 1, host_name(), tls});
      (void)client.heartbeat(request, 5);
      return "";
    } catch (const Error& error) {
      return std::string(error_kind_name(error.kind())) + ": " + describe(error);
    }
  }

  KeyPair authority_ = make_authority("campaign", 10);
  KeyPair other_ = make_authority("another", 10);
};

TEST_F(RpcSecurityTest, ACertificateOfTheCampaignIsLetIn) {
  const Coordinator coordinator(endpoint_of(authority_));
  EXPECT_EQ(call(coordinator, gang_of(authority_)), "");
  EXPECT_EQ(coordinator.heard(), 1);
}

TEST_F(RpcSecurityTest, AnotherAuthorityIsRefusedByBoth) {
  const Coordinator coordinator(endpoint_of(authority_));
  // It does not believe the coordinator.
  EXPECT_THAT(call(coordinator, gang_of(other_)),
              HasSubstr("its certificate is not of this campaign's authority"));
  // It does, and shows a certificate that the coordinator does not believe.
  TlsIdentity forged = gang_of(other_);
  forged.authority = authority_.certificate;
  EXPECT_THAT(call(coordinator, forged), HasSubstr("the certificate to call the coordinator with"));
  EXPECT_EQ(coordinator.heard(), 0);
}

TEST_F(RpcSecurityTest, ExpiredCertificatesAreRefused) {
  const Coordinator coordinator(endpoint_of(authority_));
  EXPECT_THAT(call(coordinator, gang_of(authority_, -1)), HasSubstr("certificate has expired"));
  const Coordinator old(endpoint_of(authority_, -1));
  EXPECT_NE(call(old, gang_of(authority_)), "");
  EXPECT_EQ(coordinator.heard() + old.heard(), 0);
}

TEST_F(RpcSecurityTest, WithoutACertificateNobodyIsLetIn) {
  const Coordinator coordinator(endpoint_of(authority_));
  const auto stub = proto::Coordinator::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(coordinator.port()),
                          grpc::SslCredentials({authority_.certificate, "", ""})));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  proto::HeartbeatReply reply;
  EXPECT_FALSE(stub->Heartbeat(&context, beat(), &reply).ok());
  EXPECT_EQ(coordinator.heard(), 0);
}

TEST_F(RpcSecurityTest, PlaintextDoesNotReachATlsServer) {
  const Coordinator coordinator(endpoint_of(authority_));
  EXPECT_THAT(call(coordinator, std::nullopt), HasSubstr("comm: "));
  EXPECT_EQ(coordinator.heard(), 0);
}

TEST_F(RpcSecurityTest, ACertificateForAnotherHostIsRefused) {
  Endpoint endpoint = endpoint_of(authority_);
  endpoint.server->own = issue_certificate(authority_, {"coordinator", {"10.1.2.3", "elsewhere"}},
                                           CertificateUse::kServer, 1);
  const Coordinator coordinator(endpoint);
  EXPECT_NE(call(coordinator, gang_of(authority_)), "");
  EXPECT_EQ(coordinator.heard(), 0);
}

// The key of a gang does not make a coordinator.
TEST_F(RpcSecurityTest, AGangsCertificateServesNobody) {
  Endpoint endpoint = endpoint_of(authority_);
  endpoint.server->own =
      issue_certificate(authority_, {"gang", {"127.0.0.1"}}, CertificateUse::kClient, 1);
  const Coordinator coordinator(endpoint);
  EXPECT_NE(call(coordinator, gang_of(authority_)), "");
}

TEST_F(RpcSecurityTest, AWrongTokenIsRefused) {
  const Coordinator coordinator(endpoint_of(authority_));
  EXPECT_THAT(call(coordinator, gang_of(authority_), beat("the tokem")),
              MatchesRegex("protocol: .*wrong token.*"));
  const Coordinator plain{Endpoint()};
  EXPECT_THAT(call(plain, std::nullopt, beat("")), HasSubstr("wrong token"));
  EXPECT_EQ(coordinator.heard() + plain.heard(), 0);
}

TEST_F(RpcSecurityTest, PlaintextOffLoopbackIsRefusedByBoth) {
  Endpoint endpoint;
  endpoint.host = "192.0.2.1";
  try {
    const RpcServer server(endpoint, "the token");
    FAIL() << "served";
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 2);
    EXPECT_THAT(describe(error), HasSubstr("plaintext off loopback is refused"));
  }
  try {
    const CoordinatorClient client({"192.0.2.1", 1, "the token", 1, 1, "there"});
    FAIL() << "called";
  } catch (const Error& error) {
    EXPECT_THAT(describe(error), HasSubstr("plaintext off loopback is refused"));
  }
}

TEST_F(RpcSecurityTest, AnAddressThatIsNotOursIsTheUsersToMend) {
  Endpoint endpoint = endpoint_of(authority_);
  endpoint.host = "192.0.2.1";
  try {
    const RpcServer server(endpoint, "the token");
    FAIL() << "served";
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 2);
    EXPECT_THAT(describe(error), HasSubstr("cannot listen on 192.0.2.1"));
  }
}

TEST_F(RpcSecurityTest, MessagesAreBounded) {
  const Coordinator coordinator{Endpoint()};
  proto::HeartbeatRequest request = beat();
  request.mutable_progress()->set_doing(std::string(kMaxMessageBytes, 'x'));
  EXPECT_THAT(call(coordinator, std::nullopt, request), MatchesRegex("data: .*larger than max.*"));
  request.mutable_progress()->set_doing(std::string(1000, 'x'));
  EXPECT_THAT(call(coordinator, std::nullopt, request), MatchesRegex("data: .*progress.doing.*"));
  request = beat();
  request.set_key("../../etc/passwd");
  EXPECT_THAT(call(coordinator, std::nullopt, request), MatchesRegex("data: .*refused: key.*"));
  EXPECT_EQ(coordinator.heard(), 0);
  EXPECT_EQ(call(coordinator, std::nullopt), "");
}

TEST(PeerMessages, NamesAndNumbersMustBeSane) {
  proto::RegisterRequest enroll;
  EXPECT_THAT(message_fault(enroll), HasSubstr("caller.gang"));
  enroll.mutable_caller()->set_gang(1);
  EXPECT_EQ(message_fault(enroll), "");
  enroll.set_host("node\n1");
  EXPECT_THAT(message_fault(enroll), HasSubstr("host"));
  enroll.set_host("node1");
  enroll.set_ranks(-1);
  EXPECT_THAT(message_fault(enroll), HasSubstr("ranks"));
  proto::CommitRequest commit;
  commit.mutable_caller()->set_gang(1);
  for (const char* key : {"..", "a/b", "a b", "a\xff", "/"}) {
    commit.set_key(key);
    EXPECT_THAT(message_fault(commit), HasSubstr("key")) << key;
  }
  commit.set_key(std::string(256, 'a'));
  EXPECT_THAT(message_fault(commit), HasSubstr("key"));
  commit.set_key("0123abcd");
  EXPECT_EQ(message_fault(commit), "");
  proto::ControlRequest control;
  control.add_trials("t0001\x1b[2J");
  EXPECT_THAT(message_fault(control), HasSubstr("trials"));
}

TEST(PeerMessages, TextsBecomeUtf8OfBoundedLength) {
  EXPECT_EQ(clean_text("f\xc3\xbcnf \xe2\x82\xac \xf0\x9f\x99\x82", 100),
            "f\xc3\xbcnf \xe2\x82\xac \xf0\x9f\x99\x82");
  EXPECT_EQ(clean_text("a\xff\xc3z\xe2\x82", 100), "a??z??");
  EXPECT_EQ(clean_text("\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80", 100), "?? ??? ????");
  EXPECT_EQ(clean_text("abc\xe2\x82\xac", 5), "abc");
}

TEST(Endpoint, LoopbackNeedsNoCertificate) {
  EXPECT_TRUE(is_loopback("127.0.0.1"));
  EXPECT_TRUE(is_loopback("127.1.2.3"));
  EXPECT_FALSE(is_loopback("10.0.0.1"));
  EXPECT_FALSE(is_loopback("node1"));
  EXPECT_EQ(listening_address(""), "127.0.0.1");
  EXPECT_EQ(listening_address("lo"), "127.0.0.1");
  EXPECT_EQ(listening_address("10.0.0.1"), "10.0.0.1");
  EXPECT_THROW((void)listening_address("0.0.0.0"), Error);
  EXPECT_THROW((void)listening_address("no such thing"), Error);
  EXPECT_NO_THROW(require_listenable(""));
  EXPECT_NO_THROW(require_listenable("lo"));
  EXPECT_THROW(require_listenable("192.0.2.1"), Error);
}

TEST(Endpoint, TheAuthorityIsMadeOnceAndKeptFromOthers) {
  const std::string campaign = testing::TempDir() + "endpoint-" + std::to_string(::getpid());
  std::filesystem::remove_all(campaign);
  make_directories(campaign);
  EXPECT_FALSE(make_endpoint("", campaign).server);
  EXPECT_FALSE(std::filesystem::exists(campaign + "/tls"));
  const Endpoint first = make_endpoint("192.0.2.1", campaign);
  const Endpoint second = make_endpoint("192.0.2.1", campaign);
  ASSERT_TRUE(first.server && first.client && second.client);
  EXPECT_EQ(first.server->authority, second.server->authority);
  EXPECT_NE(first.client->own.key, second.client->own.key);
  EXPECT_EQ(certificate_fault(first.client->own.certificate, second.server->authority), "");
  for (const char* file : {"/tls/ca.pem", "/tls/ca.key"}) {
    struct stat status {};
    ASSERT_EQ(::stat((campaign + file).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600U) << file;
  }
  std::filesystem::permissions(campaign + "/tls/ca.key", std::filesystem::perms(0640));
  try {
    (void)make_endpoint("192.0.2.1", campaign);
    FAIL() << "a key that others may read";
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 2);
    EXPECT_THAT(describe(error), HasSubstr("may be read by others"));
  }
  std::filesystem::remove_all(campaign);
}

TEST(Endpoint, TheAddressFileKeepsTheSecret) {
  const std::string campaign = testing::TempDir() + "address-" + std::to_string(::getpid());
  make_directories(campaign);
  const KeyPair authority = make_authority("campaign", 10);
  write_address(campaign, {"192.0.2.1", 7, "the token", 3, 4711, "node7",
                           TlsIdentity{authority.certificate, {"c", "k"}}});
  struct stat status {};
  ASSERT_EQ(::stat((campaign + "/coordinator.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  const auto address = read_address(campaign);
  ASSERT_TRUE(address && address->tls);
  EXPECT_EQ(address->tls->authority, authority.certificate);
  EXPECT_EQ(address->tls->own.key, "k");
  std::filesystem::remove_all(campaign);
}

TEST(PeerMessages, StagesOfAGroupAreCheckedLikeTheFirst) {
  proto::CommitRequest commit;
  commit.mutable_caller()->set_gang(1);
  commit.set_key("first");
  commit.add_more()->set_key("second");
  EXPECT_EQ(message_fault(commit), "");
  commit.mutable_more(0)->set_key("../second");
  EXPECT_THAT(message_fault(commit), HasSubstr("key must be up to 255 letters"));
  commit.mutable_more(0)->set_key("second");
  commit.mutable_more(0)->add_more()->set_key("third");
  EXPECT_THAT(message_fault(commit), HasSubstr("more.more"));

  proto::RegisterRequest enrolment;
  enrolment.mutable_caller()->set_gang(1);
  enrolment.add_also_held()->set_key("a/b");
  EXPECT_THAT(message_fault(enrolment), HasSubstr("also_held.key"));

  proto::NextRequest next;
  next.mutable_caller()->set_gang(1);
  next.set_most(1 << 20);
  EXPECT_THAT(message_fault(next), HasSubstr("most must be from 0 to 4096"));
}

}  // namespace
}  // namespace finescale
