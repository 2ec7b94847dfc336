// SPDX-License-Identifier: Apache-2.0
// The watchdog over threads, which cannot be stopped or killed: see hang_job_test for processes.
#include "comm/watchdog.h"

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"

namespace finescale {
namespace {

void sleep_s(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

// What the watchdogs of a run find with a timeout of 0.3 s.
std::vector<std::string> findings(int ranks, const std::function<void(Group&)>& body) {
  std::mutex mutex;
  std::vector<std::string> messages;
  run_local_ranks(ranks, [&](Group& world) {
    WatchdogOptions options;
    options.timeout_s = 0.3;
    options.answer_s = 0.5;
    options.end_job = [&](const std::string& message) {
      const std::scoped_lock lock(mutex);
      messages.push_back(message);
    };
    const Watchdog watchdog(world, options);
    body(world);
  });
  return messages;
}

void expect_parts(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << part << "\nnot in: " << message;
  }
}

TEST(Watchdog, NamesARankThatIsOutside) {
  const auto messages = findings(4, [](Group& world) {
    const auto data = world.split(0, world.rank(), "data");
    data->barrier();
    if (world.rank() == 2) {
      sleep_s(1.2);
    }
    static_cast<void>(data->sum(1));
  });
  ASSERT_EQ(messages.size(), 1U);
  expect_parts(messages[0],
               {"hang: rank 2 (", "has not entered sum #2 of group data, which 3 ranks have waited",
                "at watchdog_test.cpp:", "; rank 2 is in no call since barrier #1 of group data"});
}

TEST(Watchdog, FollowsWaitsToTheirEnd) {
  // 0 and 1 wait for 2 in a collective, 2 for a message of 3, and 3 is outside.
  const auto messages = findings(4, [](Group& world) {
    const auto part = world.split(world.rank() / 3, world.rank(), "data");
    const auto pipeline = world.split(0, world.rank(), "pipeline");
    int value = 0;
    if (world.rank() == 2) {
      pipeline->receive(std::as_writable_bytes(std::span(&value, 1)), 3, 5);
    } else if (world.rank() == 3) {
      sleep_s(1.2);
      pipeline->send(std::as_bytes(std::span(&value, 1)), 2, 5);
    }
    part->barrier();
  });
  ASSERT_EQ(messages.size(), 1U);
  expect_parts(messages[0], {"hang: rank 3 (",
                             "has not entered the send for receive #1 of group "
                             "pipeline from rank 3 (tag 5), which rank 2 has waited in"});
}

TEST(Watchdog, IsSilentWhenCallsEnd) {
  const auto messages = findings(4, [](Group& world) {
    for (int round = 0; round < 8; ++round) {
      if (world.rank() == round % 4) {
        sleep_s(0.1);
      }
      world.barrier();
    }
  });
  EXPECT_TRUE(messages.empty());
}

TEST(Watchdog, CanBeOff) {
  run_local_ranks(2, [](Group& world) {
    WatchdogOptions options;
    options.timeout_s = 0;
    const Watchdog watchdog(world, options);
    world.barrier();
  });
}

}  // namespace
}  // namespace finescale
