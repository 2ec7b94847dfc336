// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/launch_queue.h"

#include <algorithm>
#include <utility>

#include <xxhash.h>

namespace finescale {

namespace {

struct Head {
  LaunchQueue::Run run;
  std::uint64_t size_bytes;  // to the next one's
};

// Hashes of segments that ran lie in one of 1024 rows, the newest first; the oldest of a row falls
// out. Of the 256 segments of a step that fills all graphs five hardly ever (by chance once in some
// hundred such steps) lie in one row, where they would push each other out.
constexpr std::size_t kSeenRows = 1024;
constexpr std::size_t kSeenInARow = 4;
// A window counts as repeating from this part on.
constexpr std::int64_t kLeastReplayed = 8;

// Empties the queue, whatever became of its operations.
class Emptied {
 public:
  Emptied(std::vector<std::byte>& operations, std::int64_t& count)
      : operations_(&operations), count_(&count) {}
  ~Emptied() {
    operations_->clear();  // keeps its memory
    *count_ = 0;
  }
  Emptied(const Emptied&) = delete;
  Emptied& operator=(const Emptied&) = delete;

 private:
  std::vector<std::byte>* operations_;
  std::int64_t* count_;
};

// Whether it is in its row; from now on it is.
bool have_seen(std::vector<std::uint64_t>& seen, std::uint64_t hash) {
  const auto begin = seen.begin() + static_cast<std::ptrdiff_t>(hash % kSeenRows * kSeenInARow);
  const auto end = begin + kSeenInARow;
  if (std::find(begin, end, hash) != end) {
    return true;
  }
  std::copy_backward(begin, end - 1, end);
  *begin = hash;
  return false;
}

std::string refusal(const char* call, cudaError_t code) {
  return std::string(call) + ": " + cudaGetErrorString(code) + " (" + cudaGetErrorName(code) + ")";
}

}  // namespace

LaunchQueue::LaunchQueue(GpuPlace place, cudaStream_t stream, bool with_graphs,
                         const LaunchLimits& limits)
    : target_{stream, place}, limits_(limits) {
  figures_.are_on = with_graphs;
  if (with_graphs) {
    seen_.resize(kSeenRows * kSeenInARow);
    graphs_.reserve(limits.most_graphs);
  }
}

std::byte* LaunchQueue::open(Run run, std::size_t size_bytes) {
  throw_late();
  const std::size_t at = operations_.size();
  const std::size_t whole = (size_bytes + sizeof(Head) - 1) / sizeof(Head) * sizeof(Head);
  operations_.resize(at + sizeof(Head) + whole);
  const Head head{run, sizeof(Head) + whole};
  std::memcpy(operations_.data() + at, &head, sizeof head);
  return operations_.data() + at + sizeof head;
}

void LaunchQueue::close(bool at_once) {
  ++num_gathered_;
  ++figures_.operations;
  if (at_once || !figures_.are_on || left_to_bypass_ > 0) {
    const Emptied emptied(operations_, num_gathered_);
    figures_.bypassed_operations += num_gathered_;
    left_to_bypass_ = std::max<std::int64_t>(0, left_to_bypass_ - num_gathered_);
    run_one_by_one();
  } else if (num_gathered_ >= limits_.segment_operations) {
    end_segment();
  }
}

cudaStream_t LaunchQueue::flushed() {
  throw_late();
  end_segment();
  return target_.stream;
}

void LaunchQueue::flush_quietly() noexcept {
  try {
    end_segment();
  } catch (...) {
    late_ = late_ == nullptr ? std::current_exception() : late_;
  }
}

void LaunchQueue::forget_graphs() noexcept {
  graphs_.clear();
}

GpuGraphs LaunchQueue::figures() const {
  GpuGraphs figures = figures_;
  figures.held = static_cast<std::int64_t>(graphs_.size());
  return figures;
}

void LaunchQueue::throw_late() {
  if (late_ != nullptr) {
    std::rethrow_exception(std::exchange(late_, nullptr));
  }
}

void LaunchQueue::end_segment() {
  const Emptied emptied(operations_, num_gathered_);
  if (num_gathered_ < limits_.least_operations) {
    figures_.bypassed_operations += num_gathered_;
    run_one_by_one();
  } else if (!run_as_graph()) {
    run_one_by_one();
  }
}

// False: nothing of the segment has run.
bool LaunchQueue::run_as_graph() {
  ++figures_.segments;
  const std::uint64_t hash = XXH3_64bits(operations_.data(), operations_.size());
  const auto found = graphs_.find(hash);
  const bool is_known = found != graphs_.end() && found->second.operations == operations_;
  look_back(is_known);
  if (is_known) {
    found->second.last_use = figures_.segments;
    if (!launch(found->second.executable)) {
      return false;
    }
    ++figures_.replayed;
    figures_.replayed_operations += num_gathered_;
    return true;
  }
  return have_seen(seen_, hash) && found == graphs_.end() && make_room() && run_as_new_graph(hash);
}

bool LaunchQueue::run_as_new_graph(std::uint64_t hash) {
  CudaGraphExec executable = capture();
  if (!executable || !launch(executable)) {
    return false;
  }
  graphs_[hash] = {operations_, std::move(executable), figures_.segments};
  ++figures_.captured;
  return true;
}

bool LaunchQueue::launch(const CudaGraphExec& executable) {
  const cudaError_t code = cudaGraphLaunch(executable.get(), target_.stream);
  if (code != cudaSuccess) {
    give_up(refusal("cudaGraphLaunch", code));
  }
  return code == cudaSuccess;
}

// Null when it was refused: then nothing has run, and nothing is captured any more.
CudaGraphExec LaunchQueue::capture() {
  cudaError_t code = cudaStreamBeginCapture(target_.stream, cudaStreamCaptureModeThreadLocal);
  if (code != cudaSuccess) {
    give_up(refusal("cudaStreamBeginCapture", code));
    return {};
  }
  std::string why;
  try {
    run_one_by_one();
  } catch (const std::exception& error) {
    why = error.what();
  }
  cudaGraph_t recorded = nullptr;
  code = cudaStreamEndCapture(target_.stream, &recorded);
  const CudaGraph graph(recorded);
  if (!why.empty() || code != cudaSuccess) {
    give_up(why.empty() ? refusal("cudaStreamEndCapture", code) : why);
    return {};
  }
  cudaGraphExec_t executable = nullptr;
  code = cudaGraphInstantiate(&executable, graph.get(), 0);
  if (code != cudaSuccess) {
    give_up(refusal("cudaGraphInstantiate", code));
    return {};
  }
  return CudaGraphExec(executable);
}

void LaunchQueue::give_up(const std::string& why) {
  (void)cudaGetLastError();  // it is answered here
  figures_.are_on = false;
  figures_.failure = why;
  forget_graphs();
}

void LaunchQueue::run_one_by_one() const {
  for (std::size_t at = 0; at < operations_.size();) {
    Head head;
    std::memcpy(&head, operations_.data() + at, sizeof head);
    head.run(operations_.data() + at + sizeof head, target_);
    at += head.size_bytes;
  }
}

// Segments that do not repeat (batches that are never of the same shape) are not looked for.
void LaunchQueue::look_back(bool was_replayed) {
  num_replayed_ += was_replayed ? 1 : 0;
  if (++num_looked_for_ < limits_.window_segments) {
    return;
  }
  if (num_replayed_ * kLeastReplayed < num_looked_for_) {
    left_to_bypass_ = limits_.bypass_operations;
  }
  num_looked_for_ = 0;
  num_replayed_ = 0;
}

// Whether there is a place for one more graph.
bool LaunchQueue::make_room() {
  if (graphs_.size() < limits_.most_graphs) {
    return true;
  }
  const auto oldest = std::min_element(
      graphs_.begin(), graphs_.end(),
      [](const auto& a, const auto& b) { return a.second.last_use < b.second.last_use; });
  if (figures_.segments - oldest->second.last_use <= limits_.idle_segments) {
    return false;
  }
  graphs_.erase(oldest);
  return true;
}

}  // namespace finescale
