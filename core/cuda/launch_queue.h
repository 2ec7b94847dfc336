// SPDX-License-Identifier: Apache-2.0
// Between those who enqueue on a GPU's stream and the stream. Operations gather in segments; a
// segment that comes again, byte for byte, is launched as one CUDA graph, which costs the host
// less than its launches one by one. The host's code always runs and says what it wants done, so
// nothing that a graph holds can be out of date. One thread calls, the one of the Gpu.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "core/cuda/handles.h"
#include "core/gpu.h"

namespace finescale {

struct LaunchLimits {
  // The GPU works on a segment while the host gathers the next, and waits for the first one of a
  // step: by estimate some 10 us for 64 (a launch costs the host about 3). With more it would wait
  // longer; with fewer the launch of a graph, again some 10 us, would be shared by fewer.
  std::int64_t segment_operations = 64;
  // Fewer cost no more one by one than the launch of a graph.
  std::int64_t least_operations = 4;
  // 16,384 operations: a step of some hundred layers.
  std::size_t most_graphs = 256;
  // When all places are taken, the graph that was used least recently goes, but only after so many
  // segments without use: of a step with more segments than places those that have one keep it,
  // instead of each being captured anew in every step.
  std::int64_t idle_segments = 1024;
  // Every so many segments it is asked whether an eighth were replayed. A step that fills all
  // graphs needs two rounds to make them and replays in two more.
  std::int64_t window_segments = 1024;
  // When they were not: operations until they are looked at again, four windows of full segments.
  std::int64_t bypass_operations = std::int64_t{4} * 1024 * 64;
};

class LaunchQueue {
 public:
  // Where an operation runs.
  struct Target {
    cudaStream_t stream = nullptr;
    GpuPlace place;
  };
  // Enqueues on the stream what the bytes describe; throws kDevice when it is refused. Called
  // again when it was refused under capture, where nothing runs.
  using Run = void (*)(const std::byte* arguments, const Target& target);

  // The stream must outlive it.
  LaunchQueue(GpuPlace place, cudaStream_t stream, bool with_graphs,
              const LaunchLimits& limits = {});
  ~LaunchQueue() = default;
  LaunchQueue(const LaunchQueue&) = delete;
  LaunchQueue& operator=(const LaunchQueue&) = delete;

  // An operation in two steps: write its bytes, which are zeros, between them. Equal bytes must
  // mean equal work: addresses, sizes and scalars all belong to them. at_once: it and what is in
  // front of it run one by one, now. Both throw kDevice for any operation that was refused; what
  // was enqueued behind that one is dropped.
  [[nodiscard]] std::byte* open(Run run, std::size_t size_bytes);
  void close(bool at_once = false);
  // The same for arguments without padding.
  template <class Arguments, void (*kRun)(const Arguments&, const Target&)>
  void add(const Arguments& arguments, bool at_once = false) {
    static_assert(std::is_trivially_copyable_v<Arguments>);
    const Run run = [](const std::byte* bytes, const Target& target) {
      std::array<std::byte, sizeof(Arguments)> copy;
      std::memcpy(copy.data(), bytes, copy.size());
      kRun(std::bit_cast<Arguments>(copy), target);
    };
    std::memcpy(open(run, sizeof arguments), &arguments, sizeof arguments);
    close(at_once);
  }

  // The stream, with everything enqueued given to it. Throws as above.
  [[nodiscard]] cudaStream_t flushed();
  // For destructors: what it should have thrown the next call does.
  void flush_quietly() noexcept;
  void forget_graphs() noexcept;
  [[nodiscard]] GpuGraphs figures() const;

 private:
  struct Graph {
    std::vector<std::byte> operations;
    CudaGraphExec executable;
    std::int64_t last_use = 0;  // in segments
  };

  void throw_late();
  void end_segment();
  [[nodiscard]] bool run_as_graph();
  [[nodiscard]] bool run_as_new_graph(std::uint64_t hash);
  [[nodiscard]] bool launch(const CudaGraphExec& executable);
  [[nodiscard]] CudaGraphExec capture();
  void give_up(const std::string& why);
  void run_one_by_one() const;
  void look_back(bool was_replayed);
  [[nodiscard]] bool make_room();

  Target target_;
  LaunchLimits limits_;
  GpuGraphs figures_;
  std::vector<std::byte> operations_;  // gathered: Head, arguments, Head, arguments
  std::int64_t num_gathered_ = 0;
  std::vector<std::uint64_t> seen_;                  // hashes of segments that ran
  std::unordered_map<std::uint64_t, Graph> graphs_;  // by hash
  std::int64_t num_looked_for_ = 0;                  // of this window
  std::int64_t num_replayed_ = 0;
  std::int64_t left_to_bypass_ = 0;
  std::exception_ptr late_;
};

}  // namespace finescale
