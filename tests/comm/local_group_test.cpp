// SPDX-License-Identifier: Apache-2.0
#include "comm/local/local_group.h"

#include <array>
#include <filesystem>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "comm/together.h"
#include "core/error.h"
#include "tests/comm/group_cases.h"

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

TEST(LocalGroup, MessagesMatchBySenderAndTag) {
  for (const int ranks : {1, 2, 4}) {
    run_local_ranks(ranks, [](Group& group) {
      check_messages_in_any_order(group);
      check_messages_keep_their_order(group);
    });
  }
}

TEST(LocalGroup, BytesSentFollowTheFormula) {
  for (const int ranks : {1, 2, 5}) {
    run_local_ranks(ranks, [](Group& group) { check_bytes_sent(group); });
  }
}

TEST(LocalGroup, QueuesAndMainThreadCallAtOnce) {
  for (const int ranks : {1, 2, 4}) {
    run_local_ranks(ranks, [](Group& group) { check_threads_at_once(group, 2000); });
  }
}

TEST(LocalGroup, MailboxesDeliver) {
  run_local_ranks(4, [](Group& group) { check_mailbox(group); });
}

TEST(LocalGroup, MessagesThatCannotMatchAreErrors) {
  const auto expect_failure = [](const std::function<void(Group&)>& body) {
    EXPECT_THROW(run_local_ranks(2, body), Error);
  };
  expect_failure([](Group& group) {  // sizes differ
    std::array<std::byte, 4> data{};
    if (group.rank() == 0) {
      group.send(data, 1, 0);
    } else {
      group.receive(std::span(data).subspan(1), 0, 0);
    }
  });
  expect_failure([](Group& group) {  // nobody receives
    if (group.rank() == 0) {
      group.send({}, 1, 0);
    }
  });
  expect_failure([](Group& group) {  // nobody sends
    if (group.rank() == 0) {
      group.receive({}, 1, 0);
    }
  });
  expect_failure([](Group& group) { group.send({}, group.rank(), 0); });
  expect_failure([](Group& group) { group.send({}, 2, 0); });
  expect_failure([](Group& group) { group.receive({}, 1 - group.rank(), -1); });
}

TEST(LocalGroup, TwoThreadsInCollectivesOfOneGroupAreRefused) {
  run_local_ranks(2, [](Group& group) {
    int token = 0;
    if (group.rank() == 0) {
      CommQueue queue;
      queue.enqueue([&] { group.barrier(); });
      while (group.monitor().report().calls.empty()) {
        std::this_thread::yield();
      }
      EXPECT_THROW(group.barrier(), Error);
      group.send(std::as_bytes(std::span(&token, 1)), 1, 0);
      queue.wait_all();
    } else {
      group.receive(std::as_writable_bytes(std::span(&token, 1)), 0, 0);
      group.barrier();
    }
  });
}

TEST(LocalGroup, GroupsKnowTheirNamesAndRanksOfTheWorld) {
  run_local_ranks(4, [](Group& world) {
    EXPECT_EQ(world.name(), "world");
    const auto half = world.split(world.rank() % 2, -world.rank(), "data");
    EXPECT_EQ(half->split(0, 0)->name(), "data/0");
    const auto groups = world.monitor().report().groups;
    ASSERT_EQ(groups.size(), 2U);
    EXPECT_EQ(groups[1].members,
              world.rank() % 2 == 0 ? std::vector<int>({2, 0}) : std::vector<int>({3, 1}));
    const auto id = static_cast<double>(groups[1].id % 1000003);
    EXPECT_EQ(half->max(id), -half->max(-id));  // equal on the ranks of the group
    EXPECT_NE(world.max(id), -world.max(-id));  // and not on those of the other
  });
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

TEST(RunTogether, AMissingDirectoryIsAnErrorOfInputAndOutput) {  // which is tried again
  const auto group = make_single_group();
  try {
    run_together(*group, [] { (void)std::filesystem::file_size("/not/there"); });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    EXPECT_EQ(error.where(), "/not/there");
  }
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
