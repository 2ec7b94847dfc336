// SPDX-License-Identifier: Apache-2.0
// State of the emulated machine, for the sources that make it up. The mutex is held wherever it is
// touched; work runs with it held, so one kernel runs at a time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/cuda_emulation/runtime/device_memory.h"
#include "tests/cuda_emulation/runtime/machine.h"

// NOLINTBEGIN(readability-identifier-naming): CUDA's names
struct CUgraph_st {
  int device = 0;
  std::vector<finescale::cuda::emulation::Work> nodes;  // one behind the other
};
struct CUgraphExec_st {
  CUgraph_st graph;
};
struct CUstream_st {
  struct Capture {
    std::thread::id thread;
    bool is_spoiled = false;
    std::unique_ptr<CUgraph_st> graph;
  };
  int device = 0;
  bool is_destroyed = false;  // its work goes on
  std::deque<finescale::cuda::emulation::Work> work;
  std::unique_ptr<Capture> capture;  // null: it is not captured
};
struct CUevent_st {
  std::shared_ptr<bool> happened;  // of the last record; null: never recorded
};
// NOLINTEND(readability-identifier-naming)

namespace finescale::cuda::emulation {

struct Machine {
  void start(const MachineSettings& wanted);
  bool step();   // runs one piece of work that may run; false: there is none
  void go_on();  // what runs without being waited for
  void wait(std::unique_lock<std::recursive_mutex>& lock, const char* what,
            const std::function<bool()>& done);
  [[nodiscard]] bool any_ready() const;
  [[nodiscard]] bool is_idle(int device) const;
  void forget(const CUstream_st* stream);
  // What must not happen while the stream is captured, or while this thread captures any: spoils
  // that, and says so.
  [[nodiscard]] cudaError_t refuse_in_capture_of(CUstream_st* stream);
  [[nodiscard]] cudaError_t refuse_while_capturing();

  std::recursive_mutex mutex;  // work calls the machine again
  std::condition_variable_any moved;
  MachineSettings settings;
  std::mt19937_64 random;
  DeviceMemory memory;
  std::vector<std::unique_ptr<CUstream_st>> streams;
  int num_events = 0;
  int num_graphs = 0;  // and executable ones
  std::uint64_t num_enqueued = 0;
  struct Pinned {
    std::size_t size_bytes = 0;
    int num_in_use = 0;  // copies on their way
  };
  std::map<std::byte*, Pinned> pinned;
  std::vector<cudaError_t> faults;  // by GPU: what every call says from now on
  std::string fault_text;
};

[[nodiscard]] Machine& machine();

}  // namespace finescale::cuda::emulation
