// SPDX-License-Identifier: Apache-2.0
// What every backend must do, called with a group of any size by the tests of local/ and mpi/.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "comm/comm_queue.h"
#include "comm/group.h"
#include "core/error.h"

namespace finescale {

inline std::vector<std::byte> pattern(std::size_t count, int salt) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::byte>(i * 7 + static_cast<std::size_t>(salt) * 31);
  }
  return bytes;
}

// Exchanges `count` bytes per pair, checks them.
inline void exchange(Group& group, std::size_t count, int salt) {
  std::vector<std::vector<std::byte>> out;
  std::vector<std::vector<std::byte>> in(static_cast<std::size_t>(group.size()));
  std::vector<std::span<const std::byte>> send;
  std::vector<std::span<std::byte>> receive;
  for (int other = 0; other < group.size(); ++other) {
    out.push_back(pattern(count, salt + group.rank() * 100 + other));
    in[static_cast<std::size_t>(other)].resize(count);
  }
  for (std::size_t other = 0; other < in.size(); ++other) {
    send.emplace_back(out[other]);
    receive.emplace_back(in[other]);
  }
  group.all_to_all(send, receive);
  for (int other = 0; other < group.size(); ++other) {
    ASSERT_EQ(in[static_cast<std::size_t>(other)],
              pattern(count, salt + other * 100 + group.rank()));
  }
}

// Every rank sends to every other with several tags and receives them in the opposite order.
inline void check_messages_in_any_order(Group& group) {
  constexpr int kTags = 3;
  const int size = group.size();
  for (const std::size_t count : {std::size_t{0}, std::size_t{5}, std::size_t{300000}}) {
    // Sends may wait for their receives, so they go from threads of their own.
    std::vector<std::jthread> senders;
    for (int to = 0; to < size; ++to) {
      for (int tag = 0; tag < kTags && to != group.rank(); ++tag) {
        senders.emplace_back([&group, to, tag, count] {
          group.send(pattern(count, group.rank() * 10 + tag), to, tag * 1000);
        });
      }
    }
    for (int tag = kTags - 1; tag >= 0; --tag) {
      for (int from = size - 1; from >= 0; --from) {
        if (from != group.rank()) {
          std::vector<std::byte> bytes(count);
          group.receive(bytes, from, tag * 1000);
          EXPECT_EQ(bytes, pattern(count, from * 10 + tag));
        }
      }
    }
  }
}

// Messages of one sender and tag arrive in the order of their sends.
inline void check_messages_keep_their_order(Group& group) {
  constexpr int kMessages = 100;
  if (group.size() == 1) {
    return;
  }
  const int next = (group.rank() + 1) % group.size();
  const int before = (group.rank() + group.size() - 1) % group.size();
  const std::jthread sender([&] {
    for (int i = 0; i < kMessages; ++i) {
      group.send(std::as_bytes(std::span(&i, 1)), next, 7);
    }
  });
  for (int i = 0; i < kMessages; ++i) {
    int got = -1;
    group.receive(std::as_writable_bytes(std::span(&got, 1)), before, 7);
    EXPECT_EQ(got, i);
  }
}

// The documented formula of bytes_sent(), for every call.
inline void check_bytes_sent(Group& world) {
  const auto group = world.split(0, world.rank(), "counted");
  EXPECT_EQ(group->name(), "counted");
  const auto n = static_cast<std::uint64_t>(group->size());
  std::uint64_t expected = 0;
  EXPECT_EQ(group->bytes_sent(), expected);
  group->barrier();
  EXPECT_EQ(group->bytes_sent(), expected);
  std::array<std::byte, 40> data{};
  group->broadcast(data.data(), data.size(), 0);
  expected += group->rank() == 0 ? 40 * (n - 1) : 0;
  EXPECT_EQ(group->bytes_sent(), expected);
  exchange(*group, 12, 0);
  expected += 12 * (n - 1);
  EXPECT_EQ(group->bytes_sent(), expected);
  std::vector<std::size_t> offsets(1, 0);
  for (std::size_t r = 0; r < n; ++r) {
    offsets.push_back(offsets.back() + r);
  }
  std::vector<std::byte> whole(offsets.back());
  group->all_gather(std::span(data).first(static_cast<std::size_t>(group->rank())), whole, offsets);
  expected += static_cast<std::uint64_t>(group->rank()) * (n - 1);
  EXPECT_EQ(group->bytes_sent(), expected);
  EXPECT_EQ(group->sum(1), group->size());
  EXPECT_EQ(group->max(2.0), 2.0);
  expected += 16 * (n - 1);
  EXPECT_EQ(group->bytes_sent(), expected);
  if (n > 1 && group->rank() == 0) {
    group->send(std::span(data).first(9), 1, 0);
    expected += 9;
  } else if (group->rank() == 1) {
    group->receive(std::span(data).first(9), 0, 0);
  }
  EXPECT_EQ(group->bytes_sent(), expected);
}

// Two queues and the main thread of each rank at once: collectives of different groups and
// messages.
inline void check_threads_at_once(Group& world, int rounds) {
  const auto first = world.split(0, world.rank(), "first");
  const auto second = world.split(0, -world.rank(), "second");
  const auto ring = world.split(0, world.rank(), "ring");
  const int next = (ring->rank() + 1) % ring->size();
  const int before = (ring->rank() + ring->size() - 1) % ring->size();
  std::int64_t sum_of_queue = 0;
  CommQueue collectives;
  CommQueue sends;
  for (int round = 0; round < rounds; ++round) {
    const CommQueue::Ticket exchanged =
        collectives.enqueue([&, round] { exchange(*first, 64, round); });
    collectives.enqueue([&, round] { sum_of_queue += second->sum(round); });
    if (ring->size() > 1) {
      sends.enqueue([&, round] { ring->send(pattern(100, round), next, round % 5); });
      std::vector<std::byte> bytes(100);
      ring->receive(bytes, before, round % 5);
      ASSERT_EQ(bytes, pattern(100, round));
    }
    ASSERT_EQ(world.sum(round), std::int64_t{round} * world.size());
    if (round % 16 == 0) {
      collectives.wait(exchanged);
    }
  }
  sends.wait_all();
  collectives.wait_all();
  EXPECT_EQ(sum_of_queue, std::int64_t{world.size()} * rounds * (rounds - 1) / 2);
}

// A message that was posted arrives whole, whatever else goes on.
inline void check_mailbox(Group& group) {
  const auto mailbox = group.open_mailbox();
  const auto large = pattern(200000, group.rank());
  for (int to = 0; to < group.size(); ++to) {
    if (to != group.rank()) {
      mailbox->post(to, std::span(large).first(10));
      mailbox->post(to, large);
    }
  }
  int num_small = 0;
  int num_large = 0;
  while (num_small + num_large < 2 * (group.size() - 1)) {
    if (const auto message = mailbox->poll()) {
      const auto expected = pattern(message->bytes.size(), message->from);
      EXPECT_EQ(message->bytes, expected);
      ++(message->bytes.size() == 10 ? num_small : num_large);
    } else {
      std::this_thread::yield();
    }
  }
  EXPECT_EQ(num_small, num_large);
  group.barrier();  // nobody closes while another still waits
}

}  // namespace finescale
