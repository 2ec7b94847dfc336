// SPDX-License-Identifier: Apache-2.0
// Groups of GPUs on the emulated machine: ranks are threads, each with a GPU of its own.
#include "comm/nccl/nccl_group.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "comm/gpu_channel.h"
#include "comm/local/local_group.h"
#include "core/aligned_buffer.h"
#include "core/error.h"
#include "core/transfer.h"
#include "tests/comm/group_cases.h"
#include "tests/cuda_emulation/gpu_fixture.h"
#include "tests/cuda_emulation/runtime/nccl.h"

namespace finescale {
namespace {

using cuda::emulation::Pace;
using cuda::emulation::start_machine;

// Bytes in the memory of a rank's GPU.
class DeviceBytes {
 public:
  DeviceBytes(const Stream& stream, const std::vector<std::byte>& host)
      : stream_(stream),
        memory_(std::max<std::size_t>(host.size(), 1), stream),
        size_(host.size()) {
    copy_to_device(stream_, host.data(), memory_.data(), size_);
  }
  [[nodiscard]] std::span<std::byte> span() const {
    return {static_cast<std::byte*>(memory_.data()), size_};
  }
  [[nodiscard]] std::vector<std::byte> host() const {
    std::vector<std::byte> bytes(size_);
    copy_to_host(stream_, memory_.data(), bytes.data(), size_);
    return bytes;
  }

 private:
  Stream stream_;
  AlignedBuffer memory_;
  std::size_t size_;
};

// body(group, gpu) on every rank of a world of GPUs.
void run_gpu_ranks(int ranks, const std::function<void(Group&, Gpu&)>& body) {
  run_local_ranks(ranks, [&](Group& host) {
    Gpu gpu(host.rank(), host.rank());
    const auto group = make_nccl_group(host.split(0, host.rank(), "gpus"), gpu);
    body(*group, gpu);
  });
}

class NcclGroupTest : public testing::TestWithParam<Pace> {
 protected:
  static constexpr int kRanks = 3;
  void SetUp() override { start_machine({.devices = kRanks, .pace = GetParam(), .seed = 7}); }
  void TearDown() override { start_machine({}); }
};

TEST_P(NcclGroupTest, BroadcastIsOrderedWithTheGpusStream) {
  run_gpu_ranks(kRanks, [](Group& group, Gpu& gpu) {
    const Stream stream = gpu.stream();
    for (int i = 0; i < 20; ++i) {
      const int root = i % kRanks;
      // Written just before, read and written over just after: nothing waits on the host.
      const DeviceBytes data(stream, pattern(100, group.rank() + i));
      const DeviceBytes copy(stream, pattern(100, 0));
      group.broadcast(data.span().data(), 100, root);
      copy_on_device(stream, data.span().data(), copy.span().data(), 100);
      gpu.clear(data.span().data(), 100, 100, 1);
      EXPECT_EQ(copy.host(), pattern(100, root + i));
      EXPECT_EQ(data.host(), std::vector<std::byte>(100));
    }
  });
}

// The sender writes over its bytes behind wait(), the receiver reads what the message replaces in
// front of it: nothing waits on the host.
TEST_P(NcclGroupTest, MessagesOfAChannelAreOrderedWithBothStreams) {
  run_gpu_ranks(kRanks, [](Group& group, Gpu& gpu) {
    const Stream stream = gpu.stream();
    const auto channel = open_gpu_channel(group, 0, 1);
    for (int i = 0; i < 20; ++i) {
      const DeviceBytes data(stream, pattern(100, group.rank() + i));
      const DeviceBytes before(stream, pattern(100, 0));
      if (group.rank() == 0) {
        const GpuChannel::Ticket ticket = channel->send(data.span());
        channel->wait(ticket);
        gpu.clear(data.span().data(), 100, 100, 1);
        EXPECT_EQ(data.host(), std::vector<std::byte>(100));
      } else if (group.rank() == 1) {
        copy_on_device(stream, data.span().data(), before.span().data(), 100);
        channel->receive(data.span());
        EXPECT_EQ(before.host(), pattern(100, 1 + i));
        EXPECT_EQ(data.host(), pattern(100, i));
      }
    }
  });
}

// The same pointers again and again, so that what stands around the broadcast becomes graphs.
TEST_P(NcclGroupTest, GraphsOfTheGpusStreamKeepTheirPlaceAroundABroadcast) {
  run_gpu_ranks(kRanks, [](Group& group, Gpu& gpu) {
    const Stream stream = gpu.stream();
    const DeviceBytes data(stream, pattern(100, 0));
    const DeviceBytes from(stream, pattern(100, 0));
    const DeviceBytes copy(stream, pattern(100, 0));
    const auto* begin = from.span().data();
    auto* to = data.span().data();
    for (int i = 0; i < 12; ++i) {
      const auto mine = pattern(100, group.rank() + i);
      copy_to_device(stream, mine.data(), from.span().data(), 100);
      for (const std::size_t at : {0U, 20U, 40U, 60U, 80U}) {
        gpu.copy_on_device(begin + at, 20, to + at, 20, 20, 1);
      }
      group.broadcast(to, 100, 1);
      for (const std::size_t at : {0U, 25U, 50U, 75U}) {
        gpu.copy_on_device(to + at, 25, copy.span().data() + at, 25, 25, 1);
      }
      gpu.clear(to, 100, 100, 1);
      EXPECT_EQ(copy.host(), pattern(100, 1 + i));
    }
    EXPECT_GE(gpu.graphs().replayed, 20);
  });
}

TEST_P(NcclGroupTest, GathersEvenAndUnevenParts) {
  run_gpu_ranks(kRanks, [](Group& group, Gpu& gpu) {
    const Stream stream = gpu.stream();
    for (const bool even : {true, false}) {
      std::vector<std::size_t> offsets = {0};
      std::vector<std::byte> wanted;
      for (int r = 0; r < kRanks; ++r) {
        const std::size_t size = even ? 24 : static_cast<std::size_t>(40 * r);  // rank 0: nothing
        offsets.push_back(offsets.back() + size);
        const auto part = pattern(size, r);
        wanted.insert(wanted.end(), part.begin(), part.end());
      }
      const auto self = static_cast<std::size_t>(group.rank());
      const std::size_t size = offsets[self + 1] - offsets[self];
      const DeviceBytes part(stream, pattern(size, group.rank()));
      const DeviceBytes whole(stream, std::vector<std::byte>(offsets.back()));
      group.all_gather(part.span(), whole.span(), offsets);
      EXPECT_EQ(whole.host(), wanted);
      // In place, as parameters are gathered.
      const DeviceBytes in_place(stream, wanted);
      group.all_gather(in_place.span().subspan(offsets[self], size), in_place.span(), offsets);
      EXPECT_EQ(in_place.host(), wanted);
    }
  });
}

TEST_P(NcclGroupTest, ExchangesPartsOfEverySizeAlsoOfNone) {
  run_gpu_ranks(kRanks, [](Group& group, Gpu& gpu) {
    const Stream stream = gpu.stream();
    // The second time rank 2 takes no part.
    for (const int taking_part : {kRanks, 2}) {
      const auto size = [&](int from, int to) {
        return from < taking_part && to < taking_part ? static_cast<std::size_t>(8 * from + 3 * to)
                                                      : std::size_t{0};
      };
      std::vector<DeviceBytes> out;
      std::vector<DeviceBytes> in;
      std::vector<std::span<const std::byte>> send;
      std::vector<std::span<std::byte>> receive;
      for (int peer = 0; peer < kRanks; ++peer) {
        out.emplace_back(stream, pattern(size(group.rank(), peer), 10 * group.rank() + peer));
        in.emplace_back(stream, std::vector<std::byte>(size(peer, group.rank())));
      }
      for (std::size_t peer = 0; peer < kRanks; ++peer) {
        send.emplace_back(out[peer].span());
        receive.emplace_back(in[peer].span());
      }
      group.all_to_all(send, receive);
      for (int peer = 0; peer < kRanks; ++peer) {
        EXPECT_EQ(in[static_cast<std::size_t>(peer)].host(),
                  pattern(size(peer, group.rank()), 10 * peer + group.rank()));
      }
    }
  });
}

TEST_P(NcclGroupTest, PartsOfAWorldHaveCommunicatorsOfTheirOwn) {
  run_gpu_ranks(kRanks, [](Group& group, Gpu& gpu) {
    const auto part = group.split(group.rank() == 1 ? 1 : 0, -group.rank(), "part");
    EXPECT_EQ(part->size(), group.rank() == 1 ? 1 : 2);
    EXPECT_EQ(part->name(), "part");
    const DeviceBytes data(gpu.stream(), pattern(16, group.rank()));
    part->broadcast(data.span().data(), 16, 0);  // of the highest rank
    EXPECT_EQ(data.host(), pattern(16, group.rank() == 1 ? 1 : 2));
  });
}

TEST_P(NcclGroupTest, WhatLiesOnTheHostTravelsAsEver) {
  run_gpu_ranks(kRanks, [](Group& group, Gpu&) {
    exchange(group, 12, 0);
    check_messages_in_any_order(group);
    check_bytes_sent(group);
    check_mailbox(group);
    EXPECT_EQ(group.sum(group.rank()), 3);
  });
}

TEST_P(NcclGroupTest, MessagesFromGpusAreRefused) {
  run_gpu_ranks(2, [](Group& group, Gpu& gpu) {
    const DeviceBytes data(gpu.stream(), pattern(16, 0));
    EXPECT_THROW(group.send(data.span(), 1 - group.rank(), 0), Error);
  });
}

// Rank 1 is gone before it does its part; rank 0 hears of it while it waits, and can end.
TEST_P(NcclGroupTest, ALostRankEndsTheWaitOfTheOthers) {
  const auto begin = std::chrono::steady_clock::now();
  run_gpu_ranks(2, [](Group& group, Gpu& gpu) {
    if (group.rank() == 1) {
      cuda::emulation::lose_peer_of(1);
      return;
    }
    const DeviceBytes data(gpu.stream(), pattern(16, 0));
    group.broadcast(data.span().data(), 16, 1);
    try {
      (void)data.host();
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kComm);
      EXPECT_TRUE(is_retryable(error.kind()));
      EXPECT_NE(error.message().find("found on rank 0"), std::string::npos) << error.message();
    }
  });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(NcclGroup, OneGpuForTwoRanksIsRefused) {
  start_machine({.devices = 1});
  run_local_ranks(2, [](Group& host) {
    Gpu gpu(0, host.rank());
    EXPECT_THROW((void)make_nccl_group(host.split(0, host.rank()), gpu), Error);
  });
}

INSTANTIATE_TEST_SUITE_P(Paces, NcclGroupTest, all_paces(), pace_name);

}  // namespace
}  // namespace finescale
