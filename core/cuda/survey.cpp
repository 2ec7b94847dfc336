// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <exception>
#include <string>

#include "core/cuda/architectures.h"
#include "core/gpu.h"

#ifndef FINESCALE_CUDA_ARCHS
#define FINESCALE_CUDA_ARCHS "80"
#endif

namespace finescale {

namespace {

std::string version_text(int version) {  // 13000 is 13.0
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void explain_none(cudaError_t code, GpuSurvey& survey) {
  int driver = 0;
  int runtime = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaRuntimeGetVersion(&runtime);
  if (code == cudaErrorInsufficientDriver && driver == 0) {
    survey.why_none = "no NVIDIA driver is installed";
    survey.hint = "install one that supports CUDA " + version_text(runtime) +
                  "; inside a container, start it with the GPU passed in";
  } else if (code == cudaErrorInsufficientDriver) {
    survey.why_none = "the NVIDIA driver supports CUDA " + version_text(driver) +
                      ", this build needs " + version_text(runtime);
    survey.hint = "install a newer driver, or build with an older CUDA toolkit";
  } else if (code == cudaSuccess || code == cudaErrorNoDevice) {
    survey.why_none = "the NVIDIA driver sees no GPU";
    survey.hint = "is CUDA_VISIBLE_DEVICES set to what this machine has?";
  } else {
    survey.why_none = std::string("CUDA cannot be used: ") + cudaGetErrorString(code);
    survey.hint = "does nvidia-smi work here?";
  }
}

// Atomic operations reach another GPU's memory by NVLink and not by PCIe.
bool has_nvlink(int index, int count) {
  for (int other = 0; other < count; ++other) {
    int atomics = 0;
    if (other != index && (cudaDeviceGetP2PAttribute(&atomics, cudaDevP2PAttrNativeAtomicSupported,
                                                     index, other) != cudaSuccess ||
                           atomics == 0)) {
      return false;
    }
  }
  return count > 1;
}

GpuInfo describe(int index, int count) {
  GpuInfo info;
  info.index = index;
  cudaDeviceProp properties{};
  if (const cudaError_t code = cudaGetDeviceProperties(&properties, index); code != cudaSuccess) {
    info.why_not = cudaGetErrorString(code);
    return info;
  }
  info.name = properties.name;
  info.major = properties.major;
  info.minor = properties.minor;
  info.memory_bytes = properties.totalGlobalMem;
  info.has_nvlink = has_nvlink(index, count);
  if (!runs_on(FINESCALE_CUDA_ARCHS, info.major, info.minor)) {
    info.why_not = "this build has no code for " + architecture_name(info.major, info.minor) +
                   " (it was built for " FINESCALE_CUDA_ARCHS ")";
  }
  return info;
}

}  // namespace

GpuSurvey survey_gpus() noexcept {
  // Streams beyond this number share a queue, where one that waits for another rank would hold up
  // computing. Read once, by the first call of CUDA.
  (void)::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
  GpuSurvey survey;
  try {
    int count = 0;  // not set by a call that fails
    const cudaError_t code = cudaGetDeviceCount(&count);
    (void)cudaGetLastError();
    if (code != cudaSuccess || count == 0) {
      explain_none(code, survey);
      return survey;
    }
    bool any = false;
    for (int index = 0; index < count; ++index) {
      survey.gpus.push_back(describe(index, count));
      any = any || survey.gpus.back().why_not.empty();
    }
    if (!any) {
      const GpuInfo& first = survey.gpus.front();
      survey.why_none = first.name + ": " + first.why_not;
      survey.hint = "build with -DFINESCALE_CUDA_ARCHS=" + std::to_string(first.major) +
                    std::to_string(first.minor);
    }
  } catch (const std::exception& error) {
    survey.why_none = error.what();
  }
  return survey;
}

}  // namespace finescale
