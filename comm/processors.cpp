// SPDX-License-Identifier: Apache-2.0
#include "comm/processors.h"

#include <sched.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "core/host_name.h"

namespace finescale {

ProcessorSet own_processors() {
  constexpr std::size_t kMost = 64 * std::tuple_size_v<decltype(ProcessorSet::bits)>;
  ProcessorSet own;
  own.host = std::hash<std::string>{}(host_name());
  const auto free = [](cpu_set_t* set) { CPU_FREE(set); };
  const std::unique_ptr<cpu_set_t, decltype(free)> set(CPU_ALLOC(kMost), free);
  const std::size_t size = CPU_ALLOC_SIZE(kMost);
  CPU_ZERO_S(size, set.get());
  if (::sched_getaffinity(0, size, set.get()) == 0) {
    for (std::size_t i = 0; i < kMost; ++i) {
      if (CPU_ISSET_S(i, size, set.get())) {
        own.bits[i / 64] |= std::uint64_t{1} << (i % 64);
      }
    }
  } else {
    for (std::size_t i = 0; i < std::min<std::size_t>(kMost, std::thread::hardware_concurrency());
         ++i) {
      own.bits[i / 64] |= std::uint64_t{1} << (i % 64);
    }
  }
  return own;
}

int processor_share(const ProcessorSet& mine, std::span<const ProcessorSet> all) {
  double share = 0;
  for (std::size_t i = 0; i < 64 * mine.bits.size(); ++i) {
    if (mine.has(i)) {
      share += 1.0 / static_cast<double>(std::max<std::ptrdiff_t>(
                         1, std::count_if(all.begin(), all.end(), [&](const ProcessorSet& other) {
                           return other.host == mine.host && other.has(i);
                         })));
    }
  }
  return std::max(1, static_cast<int>(share + 1e-6));  // 3 x 1/3
}

int processor_share(Group& group) {
  const auto size = static_cast<std::size_t>(group.size());
  const ProcessorSet mine = own_processors();
  std::vector<ProcessorSet> all(size);
  std::vector<std::size_t> offsets(size + 1);
  for (std::size_t i = 0; i <= size; ++i) {
    offsets[i] = i * sizeof(ProcessorSet);
  }
  group.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)),
                   offsets);
  return processor_share(mine, all);
}

}  // namespace finescale
