// SPDX-License-Identifier: Apache-2.0
#include "comm/processors.h"

#include <atomic>
#include <vector>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"

namespace finescale {
namespace {

ProcessorSet set(std::uint64_t host, std::size_t begin, std::size_t end) {
  ProcessorSet made;
  made.host = host;
  for (std::size_t i = begin; i < end; ++i) {
    made.bits[i / 64] |= std::uint64_t{1} << (i % 64);
  }
  return made;
}

TEST(ProcessorShare, RanksOfAHostShareAndOtherHostsDoNot) {
  const std::vector<ProcessorSet> two_hosts = {set(1, 0, 8), set(1, 0, 8), set(2, 0, 8),
                                               set(2, 0, 8)};
  EXPECT_EQ(processor_share(two_hosts[0], two_hosts), 4);
  const std::vector<ProcessorSet> alone = {set(1, 0, 96)};
  EXPECT_EQ(processor_share(alone[0], alone), 96);
  const std::vector<ProcessorSet> three(3, set(1, 0, 3));
  EXPECT_EQ(processor_share(three[0], three), 1);
}

TEST(ProcessorShare, BoundRanksHaveWhatTheyAreBoundTo) {
  const std::vector<ProcessorSet> sockets = {set(1, 0, 64), set(1, 64, 128), set(1, 0, 64)};
  EXPECT_EQ(processor_share(sockets[0], sockets), 32);
  EXPECT_EQ(processor_share(sockets[1], sockets), 64);
  const std::vector<ProcessorSet> cores = {set(1, 0, 1), set(1, 1, 2)};
  EXPECT_EQ(processor_share(cores[0], cores), 1);
}

TEST(ProcessorShare, MoreRanksThanProcessorsGetOneEach) {
  const std::vector<ProcessorSet> many(5, set(1, 0, 2));
  EXPECT_EQ(processor_share(many[0], many), 1);
}

TEST(ProcessorShare, IsTheSameOnAllRanksOfThisProcess) {
  std::atomic<int> least = 1 << 20;
  std::atomic<int> most = 0;
  run_local_ranks(2, [&](Group& group) {
    const int share = processor_share(group);
    for (int seen = least; share < seen && !least.compare_exchange_weak(seen, share);) {
    }
    for (int seen = most; share > seen && !most.compare_exchange_weak(seen, share);) {
    }
  });
  EXPECT_EQ(least, most);
  EXPECT_GE(least, 1);
}

}  // namespace
}  // namespace finescale
