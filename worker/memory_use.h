// SPDX-License-Identifier: Apache-2.0
// What a rank has allocated, by what it is for, and what the kernel says it uses. The engine's
// buffers only grow within a stage, so what they hold at its end is their high-water mark.
#pragma once

#include <cstdint>

#include "comm/group.h"
#include "comm/proto/result.pb.h"

namespace finescale {

struct MemoryUse {                 // bytes
  std::int64_t weights = 0;        // values of parameters, frozen ones too, and copies of them
  std::int64_t gather = 0;         // places of units in use (ZeRO-3)
  std::int64_t gradients = 0;      // leaves and sums
  std::int64_t optimizer = 0;      // moments
  std::int64_t activations = 0;    // tapes of micro-batches in flight and of evaluations
  std::int64_t communication = 0;  // what other ranks send
  std::int64_t data = 0;           // tokenized examples
  std::int64_t resident = 0;       // of the process, all of it: VmHWM

  [[nodiscard]] std::int64_t allocated() const noexcept {
    return weights + gather + gradients + optimizer + activations + communication + data;
  }
};

// The process's largest resident set since the last reset, in bytes; 0 where /proc is not served.
[[nodiscard]] std::int64_t resident_peak();
void reset_resident_peak();  // a kernel that refuses leaves the mark of the whole process

// Seconds since the kernel started this process (resolution 10 ms); 0 where /proc is not served.
[[nodiscard]] double process_age();

// Every rank's use, in rank order, into the result. Collective over the group.
void add_memory(Group& group, const MemoryUse& mine, proto::StageResult& result);
// The rank with the largest resident set; null: the result has none.
[[nodiscard]] const proto::RankMemory* largest_rank(const proto::StageResult& result);

}  // namespace finescale
