// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/races.h"

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>

namespace finescale::cuda::emulation {

namespace {

constexpr std::uint32_t kLanes = 32;

// One byte of a touch.
struct Byte {
  std::uintptr_t address;
  std::uint32_t barriers;
  std::uint32_t thread;
  std::uint32_t warp_syncs;
  bool is_write;
};

bool are_ordered(const Byte& a, const Byte& b) {
  const bool one_warp = a.thread / kLanes == b.thread / kLanes;
  return a.thread == b.thread || (one_warp && a.warp_syncs != b.warp_syncs);
}

// All of one address between the same barriers.
bool is_race(std::span<const Byte> touches) {
  for (const Byte& write : touches) {
    if (!write.is_write) {
      continue;
    }
    for (const Byte& other : touches) {
      if (!are_ordered(write, other)) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

void Races::block_ends() {
  std::unordered_set<std::uintptr_t> written;
  for (const Touch& touch : block_) {
    for (std::uint32_t i = 0; touch.is_write && i < touch.size_bytes; ++i) {
      written.insert(touch.address + i);
    }
  }
  std::vector<Byte> bytes;
  for (const Touch& touch : block_) {
    for (std::uint32_t i = 0; i < touch.size_bytes; ++i) {
      const std::uintptr_t address = touch.address + i;
      if (written.contains(address)) {
        bytes.push_back({address, touch.barriers, touch.thread, touch.warp_syncs, touch.is_write});
      }
      if (!touch.is_shared) {
        const auto [owner, is_new] = global_.try_emplace(address, Owner{block_number_, true});
        owner->second.is_only_one &= owner->second.block == block_number_;
        if (touch.is_write) {
          written_.insert(address);
        }
      }
    }
  }
  const auto key = [](const Byte& byte) { return std::tuple(byte.address, byte.barriers); };
  std::sort(bytes.begin(), bytes.end(),
            [&](const Byte& a, const Byte& b) { return key(a) < key(b); });
  for (std::size_t begin = 0; begin < bytes.size();) {
    std::size_t end = begin + 1;
    while (end < bytes.size() && key(bytes[end]) == key(bytes[begin])) {
      ++end;
    }
    count_ += is_race(std::span(bytes).subspan(begin, end - begin)) ? 1 : 0;
    begin = end;
  }
  block_.clear();
  ++block_number_;
}

std::int64_t Races::launch_ends() {
  for (const std::uintptr_t address : written_) {
    count_ += global_.at(address).is_only_one ? 0 : 1;
  }
  global_.clear();
  written_.clear();
  block_number_ = 0;
  return std::exchange(count_, 0);
}

}  // namespace finescale::cuda::emulation
