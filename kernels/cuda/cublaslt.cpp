// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cublaslt.h"

#include <string>

#include "core/cuda/library.h"
#include "core/error.h"

namespace finescale::cuda {

namespace {

CublasLt load() {
  const CudaLibrary library("libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR),
                            "install cuBLAS of the CUDA toolkit, or put its folder on "
                            "LD_LIBRARY_PATH; resources.device: cpu does without");
  CublasLt table{};
  FINESCALE_CUDA_SYMBOL(library, table.status_string, cublasLtGetStatusString);
  FINESCALE_CUDA_SYMBOL(library, table.version, cublasLtGetVersion);
  FINESCALE_CUDA_SYMBOL(library, table.create, cublasLtCreate);
  FINESCALE_CUDA_SYMBOL(library, table.destroy, cublasLtDestroy);
  FINESCALE_CUDA_SYMBOL(library, table.create_operation, cublasLtMatmulDescCreate);
  FINESCALE_CUDA_SYMBOL(library, table.destroy_operation, cublasLtMatmulDescDestroy);
  FINESCALE_CUDA_SYMBOL(library, table.set_operation, cublasLtMatmulDescSetAttribute);
  FINESCALE_CUDA_SYMBOL(library, table.create_layout, cublasLtMatrixLayoutCreate);
  FINESCALE_CUDA_SYMBOL(library, table.destroy_layout, cublasLtMatrixLayoutDestroy);
  FINESCALE_CUDA_SYMBOL(library, table.create_preference, cublasLtMatmulPreferenceCreate);
  FINESCALE_CUDA_SYMBOL(library, table.destroy_preference, cublasLtMatmulPreferenceDestroy);
  FINESCALE_CUDA_SYMBOL(library, table.set_preference, cublasLtMatmulPreferenceSetAttribute);
  FINESCALE_CUDA_SYMBOL(library, table.find_algorithms, cublasLtMatmulAlgoGetHeuristic);
  FINESCALE_CUDA_SYMBOL(library, table.matmul, cublasLtMatmul);
  return table;
}

}  // namespace

const CublasLt& cublaslt() {
  static const CublasLt kTable = load();
  return kTable;
}

void throw_cublas_error(cublasStatus_t status, const char* expression, const char* file, int line) {
  throw Error(ErrorKind::kDevice,
              std::string("cuBLASLt: ") + cublaslt().status_string(status) + " in " + expression,
              {}, {}, file, line);
}

}  // namespace finescale::cuda
