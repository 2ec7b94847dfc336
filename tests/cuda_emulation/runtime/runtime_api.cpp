// SPDX-License-Identifier: Apache-2.0
// CUDA's runtime functions on the emulated machine: devices, errors, streams and events.
#include <cstdio>
#include <utility>

#include "tests/cuda_emulation/emulator.h"
#include "tests/cuda_emulation/runtime/streams.h"

using finescale::cuda::emulation::enqueue;
using finescale::cuda::emulation::Machine;
using finescale::cuda::emulation::machine;

namespace {

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): CUDA's state of a thread
thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

cudaError_t said(cudaError_t code) {
  last_error = code == cudaSuccess ? last_error : code;
  return code;
}

// What every call says when there is no driver, or this thread's GPU is broken.
cudaError_t state() {
  Machine& all = machine();
  if (!all.settings.has_driver) {
    return cudaErrorInsufficientDriver;
  }
  return all.settings.devices == 0 ? cudaErrorNoDevice
                                   : all.faults[static_cast<std::size_t>(current_device)];
}

}  // namespace

cudaError_t cudaDriverGetVersion(int* version) {
  const std::scoped_lock lock(machine().mutex);
  *version = machine().settings.has_driver ? machine().settings.driver_version : 0;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  const std::scoped_lock lock(machine().mutex);
  if (!machine().settings.has_driver || machine().settings.driver_version < CUDART_VERSION) {
    return said(cudaErrorInsufficientDriver);  // count is untouched, as on a real machine
  }
  *count = machine().settings.devices;
  return *count == 0 ? said(cudaErrorNoDevice) : cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const std::scoped_lock lock(machine().mutex);
  if (device < 0 || device >= machine().settings.devices) {
    return said(cudaErrorInvalidDevice);
  }
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulated GPU");
  properties->totalGlobalMem = machine().settings.memory_bytes;
  properties->major = machine().settings.major;
  properties->minor = machine().settings.minor;
  properties->multiProcessorCount = 4;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const std::scoped_lock lock(machine().mutex);
  if (device < 0 || device >= machine().settings.devices ||
      attribute != cudaDevAttrMaxSharedMemoryPerBlockOptin) {
    return said(cudaErrorInvalidValue);
  }
  *value = static_cast<int>(finescale::cuda::emulation::kMostSharedBytes);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr attribute, int from, int to) {
  const std::scoped_lock lock(machine().mutex);
  const int devices = machine().settings.devices;
  if (from == to || from < 0 || to < 0 || from >= devices || to >= devices ||
      attribute != cudaDevP2PAttrNativeAtomicSupported) {
    return said(cudaErrorInvalidDevice);
  }
  *value = static_cast<int>(machine().settings.has_nvlink);
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  const std::scoped_lock lock(machine().mutex);
  if (device < 0 || device >= machine().settings.devices) {
    return said(cudaErrorInvalidDevice);
  }
  current_device = device;
  return said(state());
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  std::unique_lock lock(machine().mutex);
  if (const cudaError_t code = machine().refuse_while_capturing(); code != cudaSuccess) {
    return said(code);
  }
  machine().wait(lock, "cudaDeviceSynchronize", [] { return machine().is_idle(current_device); });
  return said(state());
}

cudaError_t cudaGetLastError() {
  return std::exchange(last_error, cudaSuccess);
}

const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorNoKernelImageForDevice:
      return "cudaErrorNoKernelImageForDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorIllegalState:
      return "cudaErrorIllegalState";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorNotSupported:
      return "cudaErrorNotSupported";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureWrongThread:
      return "cudaErrorStreamCaptureWrongThread";
  }
  return "cudaErrorUnknown";
}

const char* cudaGetErrorString(cudaError_t code) {
  if (code == cudaErrorLaunchFailure && !machine().fault_text.empty()) {
    return machine().fault_text.c_str();
  }
  return cudaGetErrorName(code);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) {
  const std::scoped_lock lock(machine().mutex);
  if (const cudaError_t code = state(); code != cudaSuccess) {
    return said(code);
  }
  machine().streams.push_back(std::make_unique<CUstream_st>());
  *stream = machine().streams.back().get();
  (*stream)->device = current_device;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::scoped_lock lock(machine().mutex);
  if (stream == nullptr) {
    return said(cudaErrorInvalidResourceHandle);
  }
  stream->is_destroyed = true;
  if (stream->work.empty()) {
    machine().forget(stream);
  }
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  std::unique_lock lock(machine().mutex);
  if (stream == nullptr) {
    return said(cudaErrorInvalidResourceHandle);
  }
  if (const cudaError_t code = machine().refuse_in_capture_of(stream); code != cudaSuccess) {
    return said(code);
  }
  const int device = stream->device;
  machine().wait(lock, "cudaStreamSynchronize", [stream] { return stream->work.empty(); });
  return said(machine().faults[static_cast<std::size_t>(device)]);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const std::scoped_lock lock(machine().mutex);
  if (const cudaError_t code = machine().refuse_in_capture_of(stream); code != cudaSuccess) {
    return said(code);
  }
  if (!stream->work.empty()) {
    (void)machine().step();
  }
  const cudaError_t fault = machine().faults[static_cast<std::size_t>(stream->device)];
  return stream->work.empty() || fault != cudaSuccess ? said(fault) : cudaErrorNotReady;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned /*flags*/) {
  const std::scoped_lock lock(machine().mutex);
  if (const cudaError_t code = state(); code != cudaSuccess) {
    return said(code);
  }
  *event = new CUevent_st;  // NOLINT: a C handle
  ++machine().num_events;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::scoped_lock lock(machine().mutex);
  if (event == nullptr) {
    return said(cudaErrorInvalidResourceHandle);
  }
  --machine().num_events;
  delete event;  // NOLINT: as above
  return cudaSuccess;
}

// CUDA takes events into a graph; the project does not want them there.
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::scoped_lock lock(machine().mutex);
  if (const cudaError_t code = machine().refuse_in_capture_of(stream); code != cudaSuccess) {
    return said(code);
  }
  auto happened = std::make_shared<bool>(false);
  event->happened = happened;
  return said(enqueue(stream, {"an event", [happened] { *happened = true; }}));
}

// What was recorded at the time of the call counts, not what is recorded later.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned /*flags*/) {
  const std::scoped_lock lock(machine().mutex);
  if (const cudaError_t code = machine().refuse_in_capture_of(stream); code != cudaSuccess) {
    return said(code);
  }
  if (event->happened == nullptr) {
    return cudaSuccess;
  }
  return said(enqueue(
      stream, {"a wait for an event", [] {}, [happened = event->happened] { return *happened; }}));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  std::unique_lock lock(machine().mutex);
  if (const cudaError_t code = machine().refuse_while_capturing(); code != cudaSuccess) {
    return said(code);
  }
  const auto happened = event->happened;
  machine().wait(lock, "cudaEventSynchronize",
                 [happened] { return happened == nullptr || *happened; });
  return said(state());
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::scoped_lock lock(machine().mutex);
  if (const cudaError_t code = machine().refuse_while_capturing(); code != cudaSuccess) {
    return said(code);
  }
  const auto happened = event->happened;
  if (happened != nullptr && !*happened) {
    (void)machine().step();
  }
  if (const cudaError_t code = state(); code != cudaSuccess) {
    return said(code);
  }
  return happened == nullptr || *happened ? cudaSuccess : cudaErrorNotReady;
}
