// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/runtime/machine.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <random>
#include <stdexcept>
#include <vector>

#include "tests/cuda_emulation/runtime/device_memory.h"
#include "tests/cuda_emulation/runtime/streams.h"

namespace finescale::cuda::emulation {

namespace {

// A GPU that waits so long for a thread waits for ever: the threads of tests never compute longer.
constexpr std::chrono::seconds kPatience{20};

}  // namespace

Machine& machine() {
  static Machine one;
  return one;
}

void Machine::start(const MachineSettings& wanted) {
  const std::scoped_lock lock(mutex);
  std::string left;
  left += streams.empty() ? "" : std::to_string(streams.size()) + " streams, ";
  left += num_events == 0 ? "" : std::to_string(num_events) + " events, ";
  left += num_graphs == 0 ? "" : std::to_string(num_graphs) + " graphs, ";
  left += pinned.empty() ? "" : std::to_string(pinned.size()) + " pinned allocations, ";
  left += memory.num_allocations() == 0
              ? ""
              : std::to_string(memory.num_allocations()) + " allocations of GPUs, ";
  streams.clear();
  pinned.clear();
  num_events = 0;
  num_graphs = 0;
  const std::string damage = memory.start(wanted.devices, wanted.memory_bytes);
  settings = wanted;
  random.seed(wanted.seed);
  faults.assign(static_cast<std::size_t>(wanted.devices), cudaSuccess);
  fault_text.clear();
  if (!left.empty() || !damage.empty()) {
    throw std::runtime_error("the last machine was left with " + left + damage);
  }
}

bool Machine::step() {
  std::vector<CUstream_st*> ready;
  for (const auto& stream : streams) {
    if (!stream->work.empty() &&
        (!stream->work.front().may_begin || stream->work.front().may_begin())) {
      ready.push_back(stream.get());
    }
  }
  if (ready.empty()) {
    return false;
  }
  CUstream_st& chosen = *ready[random() % ready.size()];
  const Work work = std::move(chosen.work.front());
  chosen.work.pop_front();
  cudaError_t& fault = faults[static_cast<std::size_t>(chosen.device)];
  try {
    const DeviceMemory::Window window(memory);
    work.run();
  } catch (const std::exception& error) {
    fault = fault == cudaSuccess ? cudaErrorLaunchFailure : fault;
    fault_text = work.name + ": " + error.what();
    std::fprintf(stderr, "emulated GPU %d: %s\n", chosen.device, fault_text.c_str());
  }
  if (chosen.is_destroyed && chosen.work.empty()) {
    forget(&chosen);
  }
  moved.notify_all();
  return true;
}

void Machine::forget(const CUstream_st* stream) {
  std::erase_if(streams, [stream](const auto& one) { return one.get() == stream; });
}

void Machine::go_on() {
  switch (settings.pace) {
    case Pace::kLate:
      return;
    case Pace::kEager:
      while (step()) {
      }
      return;
    case Pace::kRandom:
      for (auto count = random() % 3; count > 0 && step(); --count) {
      }
      return;
  }
}

void Machine::wait(std::unique_lock<std::recursive_mutex>& lock, const char* what,
                   const std::function<bool()>& done) {
  while (!done()) {
    {
      const DeviceMemory::Window window(memory);  // once for all that follows: it is what costs
      while (!done() && step()) {
      }
    }
    if (done()) {
      return;
    }
    const auto before = num_enqueued;
    const bool goes_on = moved.wait_for(
        lock, kPatience, [&] { return done() || num_enqueued != before || any_ready(); });
    if (!goes_on) {
      std::string waiting;
      for (const auto& stream : streams) {
        if (!stream->work.empty()) {
          waiting +=
              "; GPU " + std::to_string(stream->device) + " stands at " + stream->work.front().name;
        }
      }
      throw std::runtime_error(std::string(what) + " never ends" + waiting);
    }
  }
}

bool Machine::any_ready() const {
  for (const auto& stream : streams) {
    if (!stream->work.empty() &&
        (!stream->work.front().may_begin || stream->work.front().may_begin())) {
      return true;
    }
  }
  return false;
}

bool Machine::is_idle(int device) const {
  for (const auto& stream : streams) {
    if (stream->device == device && !stream->work.empty()) {
      return false;
    }
  }
  return true;
}

void start_machine(const MachineSettings& settings) {
  machine().start(settings);
}

void break_device(int device, cudaError_t code) {
  const std::scoped_lock lock(machine().mutex);
  machine().faults[static_cast<std::size_t>(device)] = code;
}

void drop_work() {
  const std::scoped_lock lock(machine().mutex);
  for (const auto& stream : machine().streams) {
    stream->work.clear();
  }
}

namespace {

// Work that waits for others than its stream cannot be in a graph here.
cudaError_t record(CUstream_st::Capture& capture, Work work) {
  if (work.may_begin || machine().settings.refuses == GraphRefusal::kRecording) {
    capture.is_spoiled = true;
  }
  if (capture.is_spoiled) {
    return cudaErrorStreamCaptureInvalidated;
  }
  capture.graph->nodes.push_back(std::move(work));
  return cudaSuccess;
}

}  // namespace

cudaError_t enqueue(cudaStream_t stream, Work work) {
  Machine& all = machine();
  const std::scoped_lock lock(all.mutex);
  if (stream == nullptr || stream->is_destroyed) {
    return cudaErrorInvalidResourceHandle;
  }
  if (const cudaError_t fault = all.faults[static_cast<std::size_t>(stream->device)];
      fault != cudaSuccess) {
    return fault;
  }
  if (stream->capture != nullptr) {
    return record(*stream->capture, std::move(work));
  }
  stream->work.push_back(std::move(work));
  ++all.num_enqueued;
  all.moved.notify_all();
  all.go_on();
  return cudaSuccess;
}

int device_of(cudaStream_t stream) {
  return stream->device;
}

int device_of_memory(const void* memory, std::size_t size_bytes) {
  const std::scoped_lock lock(machine().mutex);
  return machine().memory.find(memory, size_bytes);
}

void wait_until(const char* what, const std::function<bool()>& done) {
  std::unique_lock lock(machine().mutex);
  machine().wait(lock, what, done);
}

void inside(const std::function<void()>& run) {
  const std::scoped_lock lock(machine().mutex);
  run();
  machine().moved.notify_all();
}

}  // namespace finescale::cuda::emulation
