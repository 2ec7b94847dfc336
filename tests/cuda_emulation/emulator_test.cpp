// SPDX-License-Identifier: Apache-2.0
// The emulator finds what it is there to find.
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cuda_emulation/emulator.h"
#include "tests/cuda_emulation/faulty.h"
#include "tests/cuda_emulation/include/cuda_runtime.h"

namespace finescale::cuda {
namespace {

using emulation::Order;
using ::testing::HasSubstr;

class Emulator : public testing::Test {
 protected:
  Emulator() : in_(64), out_(64, -1) { std::iota(in_.begin(), in_.end(), 1.0F); }
  ~Emulator() override { emulation::set_order(Order::kForward); }
  [[nodiscard]] bool is_reversed() const {
    return std::equal(in_.rbegin(), in_.rend(), out_.begin(), out_.end());
  }
  template <class Run>
  static std::string message_of(const Run& run) {
    try {
      run();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }
  std::vector<float> in_;
  std::vector<float> out_;
};

TEST_F(Emulator, RunsAGoodKernelInEveryOrder) {
  for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
    emulation::set_order(order, 7);
    run_reverse(in_.data(), out_.data(), Fault::kNone);
    EXPECT_TRUE(is_reversed());
    run_sum(in_.data(), out_.data(), Fault::kNone);
    EXPECT_EQ(out_[5], 32 * 33 / 2);
    EXPECT_EQ(out_[40], 32 * 33 / 2 + 32 * 32);
  }
}

TEST_F(Emulator, WhatOnlyTheOrderOfBlocksMakesRightIsSeen) {
  std::vector<float> good(64);
  run_swap(in_.data(), good.data(), Fault::kNone);
  const auto is_good = [&](Order order) {
    emulation::set_order(order, 7);
    run_swap(in_.data(), out_.data(), Fault::kNextBlock);
    return out_ == good;
  };
  EXPECT_TRUE(is_good(Order::kForward));
  EXPECT_FALSE(is_good(Order::kReverse));
}

TEST_F(Emulator, RefusesWhatNoGpuHas) {
  const auto message = [&](dim3 grid, dim3 block, std::size_t shared_bytes) {
    return message_of([&] {
      const auto run = [](const void* /*self*/) {};
      emulation::run_blocks(grid, block, shared_bytes, {run, nullptr, nullptr});
    });
  };
  EXPECT_EQ(message(2, 1024, emulation::kMostSharedBytes), "");
  EXPECT_EQ(message({1, 65535}, 1, 0), "");
  EXPECT_THAT(message(2, 1024, emulation::kMostSharedBytes + 1),
              HasSubstr("101377 bytes of shared"));
  EXPECT_THAT(message(1, {32, 33}, 0), HasSubstr("blocks of 32 x 33 x 1 threads"));
  EXPECT_THAT(message({1, 65536}, 1, 0), HasSubstr("a grid of 1 x 65536 x 1"));
  EXPECT_THAT(message({1, 0}, 1, 0), HasSubstr("a grid of 1 x 0 x 1"));
}

TEST_F(Emulator, AMissingBarrierGivesNaN) {
  for (const Order order : {Order::kForward, Order::kReverse}) {
    emulation::set_order(order);
    run_reverse(in_.data(), out_.data(), Fault::kMissingBarrier);
    EXPECT_FALSE(is_reversed());
  }
}

TEST_F(Emulator, AnEarlyReturnIsNamed) {
  const std::string message =
      message_of([&] { run_reverse(in_.data(), out_.data(), Fault::kEarlyReturn); });
  EXPECT_THAT(message, HasSubstr("ended while others wait"));
  EXPECT_THAT(message, HasSubstr("63 barrier at faulty.cu:"));
}

TEST_F(Emulator, DivergentBarriersAreNamed) {
  EXPECT_THAT(message_of([&] { run_reverse(in_.data(), out_.data(), Fault::kDivergentBarriers); }),
              HasSubstr("different barriers: 32 barrier at faulty.cu:"));
}

TEST_F(Emulator, LanesThatSkipAShuffleAreNamed) {
  const std::string message =
      message_of([&] { run_sum(in_.data(), out_.data(), Fault::kHalfShuffles); });
  EXPECT_THAT(message, HasSubstr("cannot go on"));
  EXPECT_THAT(message, HasSubstr("16 warp operation at block_sum.h:"));
}

TEST_F(Emulator, ALaneOutsideItsOwnMaskIsNamed) {
  EXPECT_THAT(message_of([&] { run_sum(in_.data(), out_.data(), Fault::kHalfMask); }),
              HasSubstr("a lane is not in its own mask: faulty.cu:"));
}

TEST_F(Emulator, CopiesThatNobodyWaitsForAreNamed) {
  run_copies(in_.data(), out_.data(), Fault::kNone);
  EXPECT_EQ(in_, out_);
  EXPECT_THAT(message_of([&] { run_copies(in_.data(), out_.data(), Fault::kCopiesUnderWay); }),
              HasSubstr("a thread ends before its copies have arrived"));
}

#if defined(__SANITIZE_ADDRESS__)
TEST_F(Emulator, AnOverrunOfSharedMemoryIsSeenByTheSanitizer) {
  EXPECT_DEATH(run_reverse(in_.data(), out_.data(), Fault::kOverrun),
               "heap-buffer-overflow|out of bounds");
}
#endif

}  // namespace
}  // namespace finescale::cuda
