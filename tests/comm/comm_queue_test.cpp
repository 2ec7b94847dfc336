// SPDX-License-Identifier: Apache-2.0
#include "comm/comm_queue.h"

#include <atomic>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.h"

namespace finescale {
namespace {

TEST(CommQueue, CarriesOutInOrder) {
  std::vector<int> order;
  CommQueue queue;
  CommQueue::Ticket middle = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto ticket = queue.enqueue([&order, i] { order.push_back(i); });
    middle = i == 499 ? ticket : middle;
  }
  queue.wait(middle);
  queue.wait_all();
  ASSERT_EQ(order.size(), 1000U);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  }
}

TEST(CommQueue, AnErrorSurfacesInEveryWaitFromThereOn) {
  CommQueue queue;
  int num_done = 0;
  const auto good = queue.enqueue([&] { ++num_done; });
  const auto bad = queue.enqueue([] { throw Error(ErrorKind::kComm, "lost"); });
  const auto behind = queue.enqueue([&] { ++num_done; });
  queue.wait(good);
  EXPECT_THROW(queue.wait(bad), Error);
  EXPECT_THROW(queue.wait(behind), Error);
  EXPECT_THROW(queue.wait_all(), Error);
  EXPECT_EQ(num_done, 1);
  queue.wait(good);
  EXPECT_THROW(queue.wait(behind + 1), Error);  // never given
}

TEST(CommQueue, EndsWithoutItsWaitingClosures) {
  std::atomic<bool> begun = false;
  std::atomic<int> num_done = 0;
  {
    CommQueue queue;
    std::atomic<bool> go = false;
    queue.enqueue([&] {
      begun = true;
      while (!go) {
        std::this_thread::yield();
      }
      ++num_done;
    });
    queue.enqueue([&] { num_done += 10; });
    while (!begun) {
      std::this_thread::yield();
    }
    // The destructor below asks the thread to stop while the first closure is in progress.
    std::thread([&] { go = true; }).join();
  }
  EXPECT_EQ(num_done % 10, 1);  // the first was waited for
}

TEST(CommQueue, ManyThreadsEnqueueAndWait) {
  CommQueue queue;
  std::int64_t sum = 0;  // only the queue's thread writes it
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) {
          const auto ticket = queue.enqueue([&] { ++sum; });
          if (i % 10 == 0) {
            queue.wait(ticket);
          }
        }
      });
    }
  }
  queue.wait_all();
  EXPECT_EQ(sum, 2000);
}

}  // namespace
}  // namespace finescale
