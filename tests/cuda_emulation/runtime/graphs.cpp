// SPDX-License-Identifier: Apache-2.0
// CUDA graphs of the emulated machine: what a captured stream is given is recorded instead of run,
// and a launch puts it into a stream as the work it was, to run late like any other.
#include <algorithm>
#include <utility>

#include "tests/cuda_emulation/runtime/streams.h"

using finescale::cuda::emulation::enqueue;
using finescale::cuda::emulation::GraphRefusal;
using finescale::cuda::emulation::machine;
using finescale::cuda::emulation::Work;

namespace finescale::cuda::emulation {

cudaError_t Machine::refuse_in_capture_of(CUstream_st* stream) {
  if (stream == nullptr || stream->capture == nullptr) {
    return cudaSuccess;
  }
  stream->capture->is_spoiled = true;
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t Machine::refuse_while_capturing() {
  cudaError_t code = cudaSuccess;
  for (const auto& stream : streams) {
    if (stream->capture != nullptr && stream->capture->thread == std::this_thread::get_id()) {
      code = refuse_in_capture_of(stream.get());
    }
  }
  return code;
}

}  // namespace finescale::cuda::emulation

namespace {

// A graph of the last machine was told of, and is no more counted.
void forget_one() {
  machine().num_graphs = std::max(0, machine().num_graphs - 1);
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode /*mode*/) {
  const std::scoped_lock lock(machine().mutex);
  if (stream == nullptr || machine().settings.refuses == GraphRefusal::kBegin) {
    return cudaErrorStreamCaptureUnsupported;  // as of the legacy stream
  }
  if (stream->capture != nullptr) {
    return cudaErrorIllegalState;
  }
  stream->capture = std::make_unique<CUstream_st::Capture>();
  stream->capture->thread = std::this_thread::get_id();
  stream->capture->graph = std::make_unique<CUgraph_st>();
  stream->capture->graph->device = stream->device;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::scoped_lock lock(machine().mutex);
  *graph = nullptr;
  if (stream == nullptr || stream->capture == nullptr) {
    return cudaErrorIllegalState;
  }
  if (stream->capture->thread != std::this_thread::get_id()) {
    return cudaErrorStreamCaptureWrongThread;
  }
  const auto ended = std::exchange(stream->capture, nullptr);
  if (ended->is_spoiled || machine().settings.refuses == GraphRefusal::kEnd) {
    return cudaErrorStreamCaptureInvalidated;
  }
  *graph = ended->graph.release();
  ++machine().num_graphs;
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const std::scoped_lock lock(machine().mutex);
  *status = stream->capture == nullptr    ? cudaStreamCaptureStatusNone
            : stream->capture->is_spoiled ? cudaStreamCaptureStatusInvalidated
                                          : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long /*flags*/) {
  const std::scoped_lock lock(machine().mutex);
  if (graph == nullptr) {
    return cudaErrorInvalidValue;
  }
  if (machine().settings.refuses == GraphRefusal::kInstantiation) {
    return cudaErrorMemoryAllocation;
  }
  *executable = new CUgraphExec_st{*graph};  // NOLINT: a C handle
  ++machine().num_graphs;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const std::scoped_lock lock(machine().mutex);
  if (executable == nullptr || stream == nullptr || executable->graph.device != stream->device) {
    return cudaErrorInvalidValue;
  }
  if (machine().settings.refuses == GraphRefusal::kLaunch) {
    return cudaErrorMemoryAllocation;
  }
  if (const cudaError_t code = machine().refuse_in_capture_of(stream); code != cudaSuccess) {
    return code;
  }
  for (const Work& node : executable->graph.nodes) {
    if (const cudaError_t code = enqueue(stream, node); code != cudaSuccess) {
      return code;
    }
  }
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const std::scoped_lock lock(machine().mutex);
  if (executable == nullptr) {
    return cudaErrorInvalidValue;
  }
  forget_one();
  delete executable;  // NOLINT: as above; what was launched is in its stream
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const std::scoped_lock lock(machine().mutex);
  if (graph == nullptr) {
    return cudaErrorInvalidValue;
  }
  forget_one();
  delete graph;  // NOLINT: as above
  return cudaSuccess;
}
