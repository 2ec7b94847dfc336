// SPDX-License-Identifier: Apache-2.0
// cuBLASLt, loaded when the first matrix product on a GPU needs it: the library is half a gigabyte,
// and programs that stay on the CPU start without it. Owners of its handles.
#pragma once

#include <cublasLt.h>

#include "core/cuda/handles.h"
#include "core/unique_handle.h"

namespace finescale::cuda {

struct CublasLt {
  decltype(&::cublasLtGetStatusString) status_string;
  decltype(&::cublasLtGetVersion) version;
  decltype(&::cublasLtCreate) create;
  decltype(&::cublasLtDestroy) destroy;
  decltype(&::cublasLtMatmulDescCreate) create_operation;
  decltype(&::cublasLtMatmulDescDestroy) destroy_operation;
  decltype(&::cublasLtMatmulDescSetAttribute) set_operation;
  decltype(&::cublasLtMatrixLayoutCreate) create_layout;
  decltype(&::cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&::cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&::cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) find_algorithms;
  decltype(&::cublasLtMatmul) matmul;
};

// Loads it once for the process. Throws kDevice when it is not installed.
[[nodiscard]] const CublasLt& cublaslt();

[[noreturn]] void throw_cublas_error(cublasStatus_t status, const char* expression,
                                     const char* file, int line);

struct CublasLtTraits {
  using Handle = cublasLtHandle_t;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { (void)cublaslt().destroy(handle); }
};
struct OperationTraits {
  using Handle = cublasLtMatmulDesc_t;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { (void)cublaslt().destroy_operation(handle); }
};
struct LayoutTraits {
  using Handle = cublasLtMatrixLayout_t;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { (void)cublaslt().destroy_layout(handle); }
};
struct PreferenceTraits {
  using Handle = cublasLtMatmulPreference_t;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { (void)cublaslt().destroy_preference(handle); }
};
using CublasLtHandle = UniqueHandle<CublasLtTraits>;
using MatmulOperation = UniqueHandle<OperationTraits>;
using MatrixLayout = UniqueHandle<LayoutTraits>;
using MatmulPreference = UniqueHandle<PreferenceTraits>;

}  // namespace finescale::cuda

#define CUBLAS_CHECK(expression)                                                       \
  do {                                                                                 \
    if (const cublasStatus_t status = (expression); status != CUBLAS_STATUS_SUCCESS) { \
      ::finescale::cuda::throw_cublas_error(status, #expression, __FILE__, __LINE__);  \
    }                                                                                  \
  } while (false)
