// SPDX-License-Identifier: Apache-2.0
// CUDA_CHECK(place, expression) throws kDevice with the quoted expression, CUDA's own text, the GPU
// and the rank. For the sources that call CUDA's runtime.
#pragma once

#include <cuda_runtime_api.h>

namespace finescale {

struct GpuPlace {
  int device = 0;
  int rank = 0;
};

[[noreturn]] void throw_cuda_error(cudaError_t code, const char* expression, GpuPlace place,
                                   const char* file, int line);

}  // namespace finescale

#define CUDA_CHECK(place, expression)                                                     \
  do {                                                                                    \
    if (const cudaError_t cuda_code = (expression); cuda_code != cudaSuccess) {           \
      ::finescale::throw_cuda_error(cuda_code, #expression, (place), __FILE__, __LINE__); \
    }                                                                                     \
  } while (false)
