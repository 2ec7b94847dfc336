// SPDX-License-Identifier: Apache-2.0
#include "coordinator/coordinator_claim.h"

#include <unistd.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/rpc/address.h"
#include "core/error.h"

namespace finescale {
namespace {

class CoordinatorClaimTest : public testing::Test {
 protected:
  CoordinatorClaimTest() { std::filesystem::create_directories(directory_); }
  ~CoordinatorClaimTest() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] static CoordinatorAddress address(std::int64_t epoch, int pid) {
    return {"127.0.0.1", 4711, "token", epoch, pid, "node-a", std::nullopt};
  }
  // What a claim of epoch 3 says; "" when it holds.
  static std::string refusal(CoordinatorClaim& claim) {
    try {
      claim.require();
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(exit_code(error.kind()), 3);
      return error.what();
    }
  }

  std::string directory_ = testing::TempDir() + "claim." + std::to_string(::getpid());
};

TEST_F(CoordinatorClaimTest, HoldsUntilAnotherWritesItsOwn) {
  CoordinatorClaim claim(directory_, address(3, 10));
  EXPECT_EQ(refusal(claim), "");
  write_address(directory_, address(3, 10));  // the same words: a copy that was put back
  EXPECT_EQ(refusal(claim), "");
  CoordinatorClaim next(directory_, address(4, 20));
  EXPECT_THAT(refusal(claim), testing::HasSubstr("process 20 on node-a"));
  EXPECT_EQ(refusal(next), "");
}

TEST_F(CoordinatorClaimTest, GivesUpOnlyItsOwn) {
  CoordinatorClaim claim(directory_, address(3, 10));
  CoordinatorClaim next(directory_, address(4, 20));
  EXPECT_THROW(claim.give_up(), Error);
  EXPECT_EQ(refusal(next), "");
  next.give_up();
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/coordinator.json"));
}

TEST_F(CoordinatorClaimTest, IsGoneWithTheFile) {
  CoordinatorClaim claim(directory_, address(3, 10));
  CoordinatorClaim next(directory_, address(4, 20));
  next.give_up();
  EXPECT_THAT(refusal(claim), testing::HasSubstr("another coordinator has had it"));
}

}  // namespace
}  // namespace finescale
