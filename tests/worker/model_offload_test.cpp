// SPDX-License-Identifier: Apache-2.0
// Moments in a file: the same bits as in memory, whatever their form and wherever windows cut.
#include <cstring>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/random.h"
#include "worker/model/parameters.h"
#include "worker/optim/moments.h"
#include "worker/optim/windowed_update.h"

namespace finescale {
namespace {

constexpr std::int64_t kPhase = 77;  // of the second tensor in its block of the grid
// The first tensor takes two windows and a part, the second one and a part.
constexpr std::int64_t kSizes[] = {2 * kWindowElements + 1003, kWindowElements + 5};
constexpr std::int64_t kTotal = kSizes[0] + kSizes[1];

struct State {
  AlignedBuffer values{kTotal * sizeof(float)};
  Moments moments;

  State(config::OptimizerState form, std::optional<std::string> scratch)
      : moments(form, {"m", "v"}, DType::kF32, 3,
                {{.begin = 0, .size = kSizes[0], .phase = 0, .tensor = "a"},
                 {.begin = kSizes[0], .size = kSizes[1], .phase = kPhase, .tensor = "b"}},
                {Stream(), std::move(scratch)}) {}

  void step(const UpdateRule& optimizer, const AlignedBuffer& gradient, std::int64_t number) {
    std::vector<UpdateRange> ranges;
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < 2; ++i) {
      UpdateRange range;
      range.value = view(values, begin, kSizes[i]);
      range.gradient = view(gradient, begin, kSizes[i]);
      if (moments.is_packed()) {
        range.packed = moments.packed(i);
        range.rounding_key = moments.rounding_key(i, number);
      } else {
        range.m = moments.m(begin, kSizes[i]);
        range.v = moments.v(begin, kSizes[i]);
      }
      ranges.push_back(range);
      begin += kSizes[i];
    }
    if (moments.file() != nullptr) {
      update_in_windows(moments.file(), optimizer, Stream(), ranges, {number, 1e-3, 1});
    } else {
      optimizer.update(Stream(), ranges, {number, 1e-3, 1});
    }
  }
  static TensorView view(const AlignedBuffer& of, std::int64_t begin, std::int64_t size) {
    return {static_cast<float*>(of.data()) + begin, DType::kF32, Shape{size}};
  }
  std::vector<std::byte> stored() {  // both moments as a checkpoint has them
    std::vector<std::byte> bytes;
    for (const Moments::Slot& slot : moments.slots(Moments::For::kWriting)) {
      const auto* data = static_cast<const std::byte*>(slot.data);
      bytes.insert(bytes.end(), data, data + kTotal * dtype_size(slot.dtype));
    }
    moments.drop();
    return bytes;
  }
};

class Offload : public testing::TestWithParam<config::OptimizerState> {};

TEST_P(Offload, HasTheBitsOfMemory) {
  AlignedBuffer gradient(kTotal * sizeof(float));
  State memory(GetParam(), {});
  std::unique_ptr<State> file;
  try {
    file = std::make_unique<State>(GetParam(), default_scratch_directory());
  } catch (const Error& error) {
    GTEST_SKIP() << describe(error);
  }
  config::Train train;
  train.set_weight_decay(0.01);
  const std::unique_ptr<UpdateRule> optimizer = make_update_rule(train);
  Random random(5, Purpose::kTest);
  for (std::int64_t number = 1; number <= 3; ++number) {
    auto* g = static_cast<float*>(gradient.data());
    for (std::int64_t i = 0; i < kTotal; ++i) {
      g[i] = static_cast<float>(random.uniform() - 0.5);
    }
    memory.step(*optimizer, gradient, number);
    file->step(*optimizer, gradient, number);
  }
  EXPECT_EQ(std::memcmp(memory.values.data(), file->values.data(), kTotal * sizeof(float)), 0);
  const std::vector<std::byte> stored = memory.stored();
  EXPECT_TRUE(stored == file->stored());

  // What is read back goes on alike.
  State other(GetParam(), default_scratch_directory());
  const std::byte* next = stored.data();
  for (const Moments::Slot& slot : other.moments.slots(Moments::For::kReading)) {
    const std::size_t size = kTotal * dtype_size(slot.dtype);
    std::memcpy(slot.data, next, size);
    next += size;
  }
  other.moments.pack();
  EXPECT_TRUE(stored == other.stored());
}

TEST_P(Offload, HoldsTwoWindows) {
  State memory(GetParam(), {});
  try {
    const State file(GetParam(), default_scratch_directory());
    EXPECT_LT(file.moments.memory_bytes(), memory.moments.memory_bytes());
  } catch (const Error& error) {
    GTEST_SKIP() << describe(error);
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, Offload,
                         testing::Values(config::OPTIMIZER_STATE_FULL, config::OPTIMIZER_STATE_BF16,
                                         config::OPTIMIZER_STATE_INT8));

}  // namespace
}  // namespace finescale
