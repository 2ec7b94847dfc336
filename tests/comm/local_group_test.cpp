// SPDX-License-Identifier: Apache-2.0
#include "comm/local/local_group.h"

#include <vector>

#include <gtest/gtest.h>

#include "comm/together.h"
#include "core/error.h"

namespace finescale {
namespace {

TEST(LocalGroup, AllToAllMovesUnequalParts) {
  run_local_ranks(4, [](Group& group) {
    std::vector<std::vector<char>> out;
    std::vector<std::vector<char>> in;
    std::vector<std::span<const std::byte>> send;
    std::vector<std::span<std::byte>> receive;
    for (int other = 0; other < 4; ++other) {
      out.emplace_back(static_cast<std::size_t>(group.rank() + other),
                       static_cast<char>(10 * group.rank() + other));
      in.emplace_back(static_cast<std::size_t>(group.rank() + other));
    }
    for (std::size_t other = 0; other < 4; ++other) {
      send.push_back(std::as_bytes(std::span(out[other])));
      receive.push_back(std::as_writable_bytes(std::span(in[other])));
    }
    group.all_to_all(send, receive);
    for (int other = 0; other < 4; ++other) {
      for (const char value : in[static_cast<std::size_t>(other)]) {
        EXPECT_EQ(value, 10 * other + group.rank());
      }
    }
  });
}

TEST(LocalGroup, BroadcastGatherAndConveniences) {
  run_local_ranks(3, [](Group& group) {
    std::string text = group.rank() == 2 ? "two" : "";
    group.broadcast(text, 2);
    EXPECT_EQ(text, "two");
    EXPECT_EQ(group.max(-1.0 - group.rank()), -1.0);
    EXPECT_EQ(group.sum(group.rank()), 3);
    EXPECT_TRUE(group.any(group.rank() == 1));
  });
}

TEST(LocalGroup, SplitOrdersByKey) {
  run_local_ranks(5, [](Group& group) {
    for (int repeat = 0; repeat < 3; ++repeat) {
      const auto part = group.split(group.rank() % 2, -group.rank());
      EXPECT_EQ(part->size(), group.rank() % 2 == 0 ? 3 : 2);
      EXPECT_EQ(part->rank(), part->size() - 1 - group.rank() / 2);
      EXPECT_EQ(part->sum(group.rank()), group.rank() % 2 == 0 ? 6 : 4);
    }
  });
}

TEST(LocalGroup, AFailureReleasesRanksThatWaitAnywhere) {
  try {
    run_local_ranks(4, [](Group& group) {
      const auto part = group.split(group.rank() / 2, 0);
      if (group.rank() == 3) {
        throw Error(ErrorKind::kData, "bad line");
      }
      (group.rank() == 2 ? *part : group).barrier();
    });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "bad line");
  }
}

TEST(LocalGroup, ARankThatLeavesEarlyIsAnErrorNotAHang) {
  EXPECT_THROW(run_local_ranks(3,
                               [](Group& group) {
                                 if (group.rank() != 1) {
                                   group.barrier();
                                 }
                               }),
               Error);
}

TEST(LocalGroup, SizesThatDisagreeAreFound) {
  EXPECT_THROW(
      run_local_ranks(2,
                      [](Group& group) {
                        std::vector<std::byte> part(static_cast<std::size_t>(1 + group.rank()));
                        std::vector<std::byte> whole(2);
                        const std::vector<std::size_t> offsets = {0, 1, 2};
                        group.all_gather(part, whole, offsets);
                      }),
      Error);
}

TEST(RunTogether, ThrowsTheErrorOfTheLowestRankEverywhere) {
  run_local_ranks(4, [](Group& group) {
    std::string message;
    try {
      run_together(group, [&] {
        if (group.rank() >= 2) {
          throw Error(ErrorKind::kIo, "rank " + std::to_string(group.rank()));
        }
      });
    } catch (const Error& error) {
      message = error.message();
    }
    EXPECT_EQ(message, "rank 2");
    int calls = 0;
    run_together(group, [&] { ++calls; });
    EXPECT_EQ(calls, 1);
  });
}

TEST(SingleGroup, BehavesLikeAGroupOfOne) {
  const auto group = make_single_group();
  std::string text = "x";
  group->broadcast(text, 0);
  EXPECT_EQ(text, "x");
  EXPECT_EQ(group->sum(5), 5);
  EXPECT_EQ(group->max(-2), -2);
  EXPECT_EQ(group->split(3, 1)->size(), 1);
  EXPECT_THROW(group->broadcast(text, 1), Error);
}

}  // namespace
}  // namespace finescale
