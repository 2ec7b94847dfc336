// SPDX-License-Identifier: Apache-2.0
// The tests of the emulated machine on a real one: it needs no start, and its pace is its own.
#pragma once

#include <cstdint>

namespace finescale::cuda::emulation {

enum class Pace { kLate, kEager, kRandom };

struct MachineSettings {
  int devices = 1;
  Pace pace = Pace::kLate;
  std::uint64_t seed = 1;
};

inline void start_machine(const MachineSettings& /*settings*/) {}

}  // namespace finescale::cuda::emulation
