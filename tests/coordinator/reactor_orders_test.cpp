// SPDX-License-Identifier: Apache-2.0
// Short stages go out several at a time; a stage that all wait for gets all threads.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/coordinator/reactor_fixture.h"

namespace finescale {
namespace {

TEST_F(ReactorTest, AStageThatAllWaitForGetsTheThreadsOfItsHost) {
  add("base");
  add("x", {"base"});
  add("y", {"base"});
  start_gangs("a");  // both gangs on one host
  EXPECT_EQ(next(1), "base");
  EXPECT_EQ(shares_, 2);
  finish(1, "base");
  EXPECT_EQ(next(1), "x");
  EXPECT_EQ(shares_, 1);  // y can run beside it
  EXPECT_EQ(next(2), "y");
  EXPECT_EQ(shares_, 1);  // x runs
}

TEST_F(ReactorTest, ThreadsOfOtherHostsAreNotLent) {
  add("base");
  add("x", {"base"});
  start_gangs("b");
  EXPECT_EQ(next(1), "base");
  EXPECT_EQ(shares_, 1);
}

TEST_F(ReactorTest, StagesThatAreKnownToBeShortGoOutTogether) {
  add_alike(16);
  start_gangs();
  EXPECT_EQ(next_order(1).more.size(), 0U);  // nobody knows how long these take
  finish_in(1, "seen", 0.01);
  const Order order = next_order(1);
  EXPECT_EQ(order.key, "s0");
  EXPECT_EQ(order.more, (std::vector<std::string>{"s1", "s2", "s3"}));  // 16 ready, 2 gangs: half
  for (const std::string& key : order.more) {
    EXPECT_EQ(state_of(key), StageState::kRunning);
    EXPECT_EQ(reactor_.stages().at(key).stored.gang, 1);
  }
}

TEST_F(ReactorTest, AnOrderOfShortStagesIsShortItself) {
  add_alike(64);
  start_gangs();
  EXPECT_EQ(next(1), "seen");
  finish_in(1, "seen", 0.08);
  EXPECT_EQ(next_order(1).more.size(), 2U);     // 3 x 0.08 s are more than kShortSeconds
  EXPECT_EQ(next_order(2, 2).more.size(), 1U);  // that takes at most two
}

TEST_F(ReactorTest, AStageThatHasFailedIsAlone) {
  add_alike(16);
  start_gangs();
  EXPECT_EQ(next(1), "seen");
  finish_in(1, "seen", 0.01);
  EXPECT_EQ(next(1), "s0");
  (void)fail(1, "s0", "io");
  now_ += 100;
  beat_gangs();
  EXPECT_EQ(next_order(1).more.size(), 0U);  // s0 again
}

}  // namespace
}  // namespace finescale
