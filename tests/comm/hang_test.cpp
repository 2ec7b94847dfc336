// SPDX-License-Identifier: Apache-2.0
#include "comm/hang.h"

#include <vector>

#include <gtest/gtest.h>

#include "core/error.h"

namespace finescale {
namespace {

CallReport collective(const std::string& operation, std::uint64_t sequence, double seconds) {
  CallReport call;
  call.operation = operation;
  call.group = "data";
  call.group_id = 5;
  call.sequence = sequence;
  call.source = "reducer.cpp:88";
  call.seconds = seconds;
  return call;
}

// Four ranks that are all in all_to_all #812 of group data, for 20 s.
std::vector<RankState> four_ranks() {
  std::vector<RankState> ranks(4);
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    ranks[i].identity = {"node" + std::to_string(i), 100 + static_cast<int>(i)};
    RankReport& report = ranks[i].report.emplace();
    report.calls.push_back(collective("all_to_all", 812, 20));
    report.groups.push_back(
        {5, 812, {"sum", "all_to_all"}, {"a.cpp:1", "reducer.cpp:88"}, {0, 1, 2, 3}});
  }
  return ranks;
}

void make_late(RankState& rank) {
  rank.report->calls.clear();
  rank.report->groups[0] = {5, 811, {"sum"}, {"a.cpp:1"}, {0, 1, 2, 3}};
}

TEST(DescribeHang, NamesTheLateRankAndWhatItDoes) {
  auto ranks = four_ranks();
  make_late(ranks[2]);
  CallReport receive = collective("receive", 40, 3);
  receive.group = "pipeline";
  receive.group_id = 6;
  receive.peer = 1;
  receive.tag = 7;
  receive.receives = true;
  receive.source = "runner.cpp:51";
  ranks[2].report->calls.push_back(receive);
  EXPECT_EQ(describe_hang(ranks, 10).value_or(""),
            "hang: rank 2 (node2, pid 102) has not entered all_to_all #812 of group data, which 3 "
            "ranks have waited in for 20 s at reducer.cpp:88; rank 2 is in receive #40 of group "
            "pipeline from rank 1 (tag 7) at runner.cpp:51");
}

TEST(DescribeHang, SaysNothingBelowTheTimeout) {
  auto ranks = four_ranks();
  make_late(ranks[2]);
  EXPECT_FALSE(describe_hang(ranks, 21).has_value());
}

TEST(DescribeHang, ASilentRankComesBeforeOneInAnotherCall) {
  auto ranks = four_ranks();
  make_late(ranks[1]);
  ranks[3].report.reset();
  EXPECT_EQ(describe_hang(ranks, 10).value_or(""),
            "hang: rank 3 (node3, pid 103) has not entered all_to_all #812 of group data, which 2 "
            "ranks have waited in for 20 s at reducer.cpp:88; rank 3 does not answer");
}

TEST(DescribeHang, SaysWhenNobodyIsMissing) {
  EXPECT_EQ(describe_hang(four_ranks(), 10).value_or(""),
            "hang: nobody is missing in all_to_all #812 of group data, which 4 ranks have waited "
            "in for 20 s at reducer.cpp:88: the network does not deliver, or the timeout is short");
}

TEST(DescribeHang, AWaitInAYoungerCallIsFollowed) {
  // 0 waits for 1 in a collective; 1 began to wait for the stopped 2 a moment ago.
  auto ranks = four_ranks();
  for (std::size_t i = 1; i < 4; ++i) {
    make_late(ranks[i]);
  }
  CallReport receive = collective("receive", 1, 0.5);
  receive.peer = 2;
  receive.receives = true;
  ranks[1].report->calls.push_back(receive);
  ranks[3].report->calls.push_back(receive);
  ranks[0].report->groups[0].members = {0, 1};
  ranks[2].report.reset();
  const std::string message = describe_hang(ranks, 10).value_or("");
  EXPECT_EQ(message.find("hang: rank 2 (node2, pid 102)"), 0U) << message;
}

TEST(RankReport, SurvivesItsEncoding) {
  auto ranks = four_ranks();
  ranks[0].report->last = collective("barrier", 3, 1.5);
  const auto bytes = encode(*ranks[0].report);
  const RankReport copy = decode_report(bytes);
  EXPECT_EQ(encode(copy), bytes);
  EXPECT_EQ(copy.last.operation, "barrier");
  EXPECT_EQ(copy.groups[0].sources[1], "reducer.cpp:88");
  EXPECT_EQ(copy.groups[0].members.size(), 4U);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(static_cast<void>(decode_report(std::span(bytes).first(size))), Error);
  }
}

}  // namespace
}  // namespace finescale
