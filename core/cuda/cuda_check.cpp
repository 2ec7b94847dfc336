// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/cuda_check.h"

#include <string>

#include "core/error.h"

namespace finescale {

namespace {

const char* hint_for(cudaError_t code) {
  switch (code) {
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
      return "finescale doctor says what this machine has; resources.device: cpu needs no GPU";
    case cudaErrorNoKernelImageForDevice:
      return "build with -DFINESCALE_CUDA_ARCHS=<compute capability of this GPU>";
    case cudaErrorMemoryAllocation:
      return "lower train.micro_batch_tokens, or cut the model over more ranks (mesh.shard)";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
      return "a kernel failed earlier on this GPU; compute-sanitizer finds where "
             "(scripts/gpu_check.sh)";
    default:
      return "";
  }
}

}  // namespace

void throw_cuda_error(cudaError_t code, const char* expression, GpuPlace place, const char* file,
                      int line) {
  throw Error(ErrorKind::kDevice,
              std::string(cudaGetErrorString(code)) + " (" + cudaGetErrorName(code) + ") in " +
                  expression + " on GPU " + std::to_string(place.device) + " of rank " +
                  std::to_string(place.rank),
              {}, hint_for(code), file, line);
}

}  // namespace finescale
