// SPDX-License-Identifier: Apache-2.0
// What a profiler sees of training on a GPU.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/gpu_range.h"
#include "tests/cuda_emulation/runtime/machine.h"
#include "tests/cuda_emulation/runtime/ranges.h"
#include "tests/worker/kind_fixture.h"

namespace finescale {
namespace {

using cuda::emulation::Range;
using cuda::emulation::take_ranges;

std::int64_t count(const std::vector<Range>& ranges, const std::string& name) {
  return std::count_if(ranges.begin(), ranges.end(),
                       [&](const Range& range) { return range.name == name; });
}

TEST(Ranges, OfAStepAreItsPartsAndTheirLayers) {
  cuda::emulation::start_machine({});
  {
    const auto group = make_single_group();
    Gpu gpu(0, 0);
    kind_test::TrainedRun run(*group, {.method = kind_test::find(kind_test::methods(), "full")}, {},
                              0, gpu.stream());
    (void)take_ranges();  // of the start
    run.steps(0, 1);
    const std::vector<Range> ranges = take_ranges();
    EXPECT_EQ(count(ranges, "forward and backward"), 1);
    EXPECT_EQ(count(ranges, "gradient norm"), 1);
    EXPECT_EQ(count(ranges, "update"), 1);
    const std::int64_t layers = count(ranges, "layer forward");
    EXPECT_GT(layers, 0);
    EXPECT_EQ(layers % 4, 0);  // of every micro-batch
    EXPECT_GE(count(ranges, "unit backward"), layers);
    for (const Range& range : ranges) {
      if (range.name == "layer forward") {
        EXPECT_EQ(range.depth, 1);
        EXPECT_GE(range.index, 0);
      }
    }
  }
  cuda::emulation::start_machine({});
}

TEST(Ranges, HaveTheirNumberFromZeroOn) {
  cuda::emulation::start_machine({});
  (void)take_ranges();
  {
    Gpu gpu(0, 0);
    { const GpuRange first(gpu.stream(), "numbered", 0); }
    { const GpuRange second(gpu.stream(), "not numbered"); }
    const std::vector<Range> ranges = take_ranges();
    ASSERT_EQ(ranges.size(), 2U);
    EXPECT_EQ(ranges[0].index, 0);
    EXPECT_EQ(ranges[1].index, -1);
  }
  cuda::emulation::start_machine({});
}

TEST(Ranges, AreNotOpenedOnTheCpu) {
  {
    const GpuRange range(Stream(), "nothing");
    EXPECT_NO_THROW((void)take_ranges());
  }
  EXPECT_TRUE(take_ranges().empty());
}

TEST(Ranges, CloseOnceWhenTheyAreMoved) {
  cuda::emulation::start_machine({});
  (void)take_ranges();
  {
    Gpu gpu(0, 0);
    {
      GpuRange first(gpu.stream(), "first", 7);
      const GpuRange moved = std::move(first);
      EXPECT_THROW((void)take_ranges(), std::runtime_error);  // it is open
    }
    const std::vector<Range> ranges = take_ranges();
    ASSERT_EQ(ranges.size(), 1U);
    EXPECT_EQ(ranges[0].name, "first");
    EXPECT_EQ(ranges[0].index, 7);
  }
  cuda::emulation::start_machine({});
}

}  // namespace
}  // namespace finescale
