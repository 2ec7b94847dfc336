// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/access.h"

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>

#include "tests/cuda_emulation/emulator.h"
#include "tests/cuda_emulation/races.h"

namespace finescale::cuda::emulation {

namespace {

constexpr std::uintptr_t kSectorBytes = 32;
constexpr std::uintptr_t kBankBytes = 4;
constexpr std::size_t kBanks = 32;
constexpr std::size_t kLanes = 32;

struct Access {
  const void* code;
  std::uintptr_t address;
  std::uint32_t size_bytes;
  bool is_shared;
};

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): reached from the calls below
bool counting = false;
bool busy = false;  // an instrumented inline function may be what the linker kept for this file
std::vector<std::vector<Access>> by_thread;
std::vector<AccessCounts> launches;
Races races;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

// Sectors that are touched, and as many as the distinct bytes fill.
void count_global(const std::vector<Access>& instruction, AccessCounts& counts) {
  std::vector<std::pair<std::uintptr_t, std::uintptr_t>> ranges;
  for (const Access& access : instruction) {
    ranges.emplace_back(access.address, access.address + access.size_bytes);
  }
  std::sort(ranges.begin(), ranges.end());
  std::uintptr_t bytes = 0;
  std::uintptr_t done = 0;          // end of the bytes counted so far
  std::uintptr_t done_sectors = 0;  // number of the first sector that was not counted
  for (const auto& [begin, end] : ranges) {
    const std::uintptr_t from = std::max(begin, done);
    bytes += end > from ? end - from : 0;
    done = std::max(done, end);
    const std::uintptr_t first = std::max(begin / kSectorBytes, done_sectors);
    const std::uintptr_t last = (end - 1) / kSectorBytes + 1;
    counts.sectors += last > first ? static_cast<std::int64_t>(last - first) : 0;
    done_sectors = std::max(done_sectors, last);
  }
  counts.least_sectors += static_cast<std::int64_t>((bytes + kSectorBytes - 1) / kSectorBytes);
}

// Shared memory serves 128 bytes in one turn: a warp of up to 4 bytes per lane, half of 8, a
// quarter of 16. Lanes that read one word share it.
void count_shared(const std::vector<Access>& instruction, AccessCounts& counts) {
  const std::size_t words = std::max<std::size_t>(1, instruction[0].size_bytes / kBankBytes);
  const std::size_t lanes = kLanes / words;
  for (std::size_t begin = 0; begin < instruction.size(); begin += lanes) {
    std::array<std::vector<std::uintptr_t>, kBanks> banks;
    for (std::size_t i = begin; i < std::min(begin + lanes, instruction.size()); ++i) {
      for (std::size_t w = 0; w < words; ++w) {
        const std::uintptr_t word = instruction[i].address / kBankBytes + w;
        std::vector<std::uintptr_t>& bank = banks[word % kBanks];
        if (std::find(bank.begin(), bank.end(), word) == bank.end()) {
          bank.push_back(word);
        }
      }
    }
    std::size_t turns = 1;
    for (const std::vector<std::uintptr_t>& bank : banks) {
      turns = std::max(turns, bank.size());
    }
    counts.bank_conflicts += static_cast<std::int64_t>(turns - 1);
  }
}

void count_warp(std::size_t first_thread, AccessCounts& counts) {
  std::map<std::pair<const void*, int>, std::vector<Access>> instructions;
  const std::size_t end = std::min(first_thread + kLanes, by_thread.size());
  for (std::size_t thread = first_thread; thread < end; ++thread) {
    std::unordered_map<const void*, int> turns;
    for (const Access& access : by_thread[thread]) {
      instructions[{access.code, turns[access.code]++}].push_back(access);
    }
  }
  for (const auto& [place, instruction] : instructions) {
    instruction[0].is_shared ? count_shared(instruction, counts)
                             : count_global(instruction, counts);
  }
}

void record(const void* address, std::uint32_t size_bytes, bool is_write, const void* code) {
  if (!counting || busy) {
    return;
  }
  busy = true;
  const Space space = space_of(address);
  if (space == Space::kGlobal || space == Space::kShared) {
    const Progress now = running_thread();
    if (by_thread.size() <= now.thread) {
      by_thread.resize(now.thread + 1);
    }
    const auto begin = reinterpret_cast<std::uintptr_t>(address);
    const bool is_shared = space == Space::kShared;
    by_thread[now.thread].push_back({code, begin, size_bytes, is_shared});
    races.add({begin, size_bytes, now.thread, now.barriers, now.warp_syncs, is_write, is_shared});
  }
  busy = false;
}

}  // namespace

void start_counting() {
  launches.clear();
  by_thread.clear();
  counting = true;
}

std::vector<AccessCounts> stop_counting() {
  counting = false;
  return launches;
}

void access_launch_begins(const void* kernel, std::size_t threads,
                          std::size_t dynamic_shared_bytes) {
  if (counting) {
    launches.push_back({.kernel = kernel,
                        .threads = static_cast<std::int64_t>(threads),
                        .dynamic_shared_bytes = static_cast<std::int64_t>(dynamic_shared_bytes)});
  }
}

void access_block_ends() {
  if (!counting) {
    return;
  }
  busy = true;
  for (std::size_t first = 0; first < by_thread.size(); first += kLanes) {
    count_warp(first, launches.back());
  }
  by_thread.clear();
  races.block_ends();
  busy = false;
}

void access_launch_ends() {
  if (counting) {
    busy = true;
    launches.back().races = races.launch_ends();
    busy = false;
  }
}

}  // namespace finescale::cuda::emulation

#if !defined(__SANITIZE_THREAD__)
// The names and types are the compiler's.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
#define FINESCALE_ACCESS(name, size, is_write)                                                    \
  void name(void* address) {                                                                      \
    finescale::cuda::emulation::record(address, (size), (is_write), __builtin_return_address(0)); \
  }
#define FINESCALE_ACCESSES(size)                             \
  FINESCALE_ACCESS(__tsan_read##size, size, false)           \
  FINESCALE_ACCESS(__tsan_write##size, size, true)           \
  FINESCALE_ACCESS(__tsan_unaligned_read##size, size, false) \
  FINESCALE_ACCESS(__tsan_unaligned_write##size, size, true)
extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void* /*caller*/) {}
void __tsan_func_exit() {}
FINESCALE_ACCESSES(1)
FINESCALE_ACCESSES(2)
FINESCALE_ACCESSES(4)
FINESCALE_ACCESSES(8)
FINESCALE_ACCESSES(16)
void __tsan_read_range(void* address, std::size_t size_bytes) {
  finescale::cuda::emulation::record(address, static_cast<std::uint32_t>(size_bytes), false,
                                     __builtin_return_address(0));
}
void __tsan_write_range(void* address, std::size_t size_bytes) {
  finescale::cuda::emulation::record(address, static_cast<std::uint32_t>(size_bytes), true,
                                     __builtin_return_address(0));
}
void __tsan_vptr_update(void** /*object*/, void* /*table*/) {}
void __tsan_vptr_read(void** /*object*/) {}
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
#endif
