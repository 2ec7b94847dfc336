// SPDX-License-Identifier: Apache-2.0
#include "core/caching_memory.h"

#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"

namespace finescale {
namespace {

class CountedSource final : public MemorySource {
 public:
  explicit CountedSource(std::size_t limit) : left_(limit) {}
  [[nodiscard]] void* take(std::size_t size_bytes) override {
    if (size_bytes > left_) {
      return nullptr;
    }
    left_ -= size_bytes;
    auto memory = std::make_unique<std::byte[]>(size_bytes);
    void* address = memory.get();
    taken_.emplace(address, std::pair{size_bytes, std::move(memory)});
    return address;
  }
  void give_back(void* memory) noexcept override {
    left_ += taken_.at(memory).first;
    taken_.erase(memory);
  }
  [[nodiscard]] std::size_t num_taken() const { return taken_.size(); }

 private:
  std::size_t left_;
  std::map<void*, std::pair<std::size_t, std::unique_ptr<std::byte[]>>> taken_;
};

constexpr std::size_t kMiB = std::size_t{1} << 20;

TEST(CachingMemory, NeighboursAreJoinedAndUsedAgain) {
  CountedSource source(2 * kMiB);
  CachingMemory memory(source);
  void* a = memory.allocate(kMiB / 2);
  void* b = memory.allocate(kMiB / 2);
  void* c = memory.allocate(kMiB);
  EXPECT_EQ(source.num_taken(), 1U);
  EXPECT_EQ(memory.allocate(1), nullptr);
  memory.release(a);
  memory.release(c);
  memory.release(b);
  EXPECT_EQ(memory.allocate(2 * kMiB), a);
  EXPECT_EQ(memory.peak(), 2 * kMiB);
}

TEST(CachingMemory, TheBestFitIsTaken) {
  CountedSource source(64 * kMiB);
  CachingMemory memory(source);
  void* large = memory.allocate(8 * kMiB);
  void* small = memory.allocate(2 * kMiB);
  memory.release(large);
  memory.release(small);
  EXPECT_EQ(memory.allocate(kMiB), small);
  EXPECT_EQ(memory.allocate(6 * kMiB), large);
}

TEST(CachingMemory, WhatIsFreeIsGivenBackBeforeItIsTooLittle) {
  CountedSource source(10 * kMiB);
  CachingMemory memory(source);
  memory.release(memory.allocate(8 * kMiB));
  EXPECT_EQ(memory.held(), 8 * kMiB);
  EXPECT_NE(memory.allocate(10 * kMiB), nullptr);
  EXPECT_EQ(memory.held(), 10 * kMiB);
}

// Blocks never overlap, and in the end everything is one piece again.
TEST(CachingMemory, RandomUse) {
  CountedSource source(256 * kMiB);
  CachingMemory memory(source);
  Random random(5, Purpose::kTest);
  struct Held {
    std::byte* data;
    std::size_t size;
    std::byte mark;
  };
  std::vector<Held> held;
  for (int i = 0; i < 4000; ++i) {
    if (held.size() > 40 || (!held.empty() && random.below(2) == 0)) {
      const std::size_t which = random.below(held.size());
      const Held block = held[which];
      for (const std::size_t at : {std::size_t{0}, block.size / 2, block.size - 1}) {
        ASSERT_EQ(block.data[at], block.mark);
      }
      memory.release(block.data);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
    } else {
      const std::size_t size = 1 + random.below(std::uint64_t{1} << random.below(21));
      auto* data = static_cast<std::byte*>(memory.allocate(size));
      ASSERT_NE(data, nullptr);
      const auto mark = static_cast<std::byte>(i);
      std::memset(data, static_cast<int>(mark), size);
      held.push_back({data, size, mark});
    }
  }
  for (const Held& block : held) {
    memory.release(block.data);
  }
  EXPECT_EQ(memory.in_use(), 0U);
  memory.trim();
  EXPECT_EQ(source.num_taken(), 0U);
}

}  // namespace
}  // namespace finescale
