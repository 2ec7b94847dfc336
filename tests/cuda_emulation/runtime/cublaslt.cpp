// SPDX-License-Identifier: Apache-2.0
// Matrix products of the emulated machine: sums in double precision over k ascending, rounded once.
// An algorithm works for the descriptors it was found for and for pointers as aligned as was said,
// and nothing else: what the library leaves undefined is an error here.
#include <cublasLt.h>

#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "tests/cuda_emulation/runtime/machine.h"

namespace emulation = finescale::cuda::emulation;

// NOLINTBEGIN(readability-identifier-naming, cppcoreguidelines-owning-memory): the library's names
struct cublasLtContext {
  int device;
};
struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  std::array<cublasOperation_t, 2> operations = {CUBLAS_OP_N, CUBLAS_OP_N};
};
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t leading;
};
struct cublasLtMatmulPreferenceOpaque_t {
  std::uint64_t workspace_bytes = 0;
  std::array<std::uint32_t, 4> alignments = {256, 256, 256, 256};
};

namespace {

using Layout = cublasLtMatrixLayoutOpaque_t;

std::size_t size_of(cudaDataType_t type) {
  return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
}

double read(const Layout& layout, const void* data, std::int64_t row, std::int64_t col) {
  const std::int64_t at = row + col * layout.leading;
  switch (layout.type) {
    case CUDA_R_64F:
      return static_cast<const double*>(data)[at];
    case CUDA_R_32F:
      return static_cast<const float*>(data)[at];
    case CUDA_R_16BF:
      return std::bit_cast<float>(std::uint32_t{static_cast<const std::uint16_t*>(data)[at]} << 16);
  }
  return 0;
}

void write(const Layout& layout, void* data, std::int64_t row, std::int64_t col, double value) {
  const std::int64_t at = row + col * layout.leading;
  switch (layout.type) {
    case CUDA_R_64F:
      static_cast<double*>(data)[at] = value;
      return;
    case CUDA_R_32F:
      static_cast<float*>(data)[at] = static_cast<float>(value);
      return;
    case CUDA_R_16BF: {
      const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
      static_cast<std::uint16_t*>(data)[at] =
          static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
      return;
    }
  }
}

// What an algorithm was found for.
std::uint64_t hash_of(const cublasLtMatmulDescOpaque_t& operation,
                      std::initializer_list<const Layout*> layouts) {
  std::uint64_t hash = 1469598103934665603U;
  const auto add = [&hash](auto value) {
    hash = (hash ^ static_cast<std::uint64_t>(value)) * 1099511628211U;
  };
  add(operation.compute);
  add(operation.operations[0]);
  add(operation.operations[1]);
  for (const Layout* layout : layouts) {
    add(layout->type);
    add(layout->rows);
    add(layout->cols);
    add(layout->leading);
  }
  return hash;
}

// Whether the whole matrix lies in memory of the stream's GPU, as aligned as was said.
bool lies_well(const Layout& layout, const void* data, std::uint64_t alignment,
               cudaStream_t stream) {
  const auto extent = static_cast<std::size_t>((layout.cols - 1) * layout.leading + layout.rows) *
                      size_of(layout.type);
  return emulation::device_of_memory(data, extent) == emulation::device_of(stream) &&
         reinterpret_cast<std::uintptr_t>(data) % alignment == 0;
}

struct Product {
  cublasLtMatmulDescOpaque_t operation;
  Layout a, b, d;
  double alpha, beta;

  [[nodiscard]] std::int64_t inner() const {
    return operation.operations[0] == CUBLAS_OP_N ? a.cols : a.rows;
  }
  void run(const void* a_data, const void* b_data, void* d_data) const {
    const std::int64_t count = inner();
    const auto at = [](const Layout& layout, cublasOperation_t op, const void* data,
                       std::int64_t row, std::int64_t col) {
      return op == CUBLAS_OP_N ? read(layout, data, row, col) : read(layout, data, col, row);
    };
    std::vector<double> left(static_cast<std::size_t>(d.rows * count));
    for (std::int64_t i = 0; i < d.rows; ++i) {
      for (std::int64_t k = 0; k < count; ++k) {
        left[static_cast<std::size_t>(i * count + k)] =
            at(a, operation.operations[0], a_data, i, k);
      }
    }
    std::vector<double> column(static_cast<std::size_t>(count));
    for (std::int64_t j = 0; j < d.cols; ++j) {
      for (std::int64_t k = 0; k < count; ++k) {
        column[static_cast<std::size_t>(k)] = at(b, operation.operations[1], b_data, k, j);
      }
      for (std::int64_t i = 0; i < d.rows; ++i) {
        double sum = 0;
        for (std::int64_t k = 0; k < count; ++k) {
          sum +=
              left[static_cast<std::size_t>(i * count + k)] * column[static_cast<std::size_t>(k)];
        }
        write(d, d_data, i, j, alpha * sum + (beta == 0 ? 0 : beta * read(d, d_data, i, j)));
      }
    }
  }
};

double scalar(cudaDataType_t type, const void* value) {
  return type == CUDA_R_64F ? *static_cast<const double*>(value)
                            : *static_cast<const float*>(value);
}

}  // namespace

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS           ? "CUBLAS_STATUS_SUCCESS"
         : status == CUBLAS_STATUS_INVALID_VALUE   ? "CUBLAS_STATUS_INVALID_VALUE"
         : status == CUBLAS_STATUS_NOT_SUPPORTED   ? "CUBLAS_STATUS_NOT_SUPPORTED"
         : status == CUBLAS_STATUS_NOT_INITIALIZED ? "CUBLAS_STATUS_NOT_INITIALIZED"
                                                   : "CUBLAS_STATUS_EXECUTION_FAILED";
}

std::size_t cublasLtGetVersion() {
  return 130100;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  *handle = new cublasLtContext{};
  return cudaGetDevice(&(*handle)->device) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                          : CUBLAS_STATUS_NOT_INITIALIZED;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation,
                                        cublasComputeType_t compute, cudaDataType_t scale) {
  *operation = new cublasLtMatmulDescOpaque_t{compute, scale};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  delete operation;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t which,
                                              const void* value, std::size_t size_bytes) {
  if (size_bytes != sizeof(cublasOperation_t)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memcpy(&operation->operations[which == CUBLASLT_MATMUL_DESC_TRANSA ? 0 : 1], value,
              size_bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          std::uint64_t rows, std::uint64_t cols,
                                          std::int64_t leading) {
  if (rows == 0 || cols == 0 || leading < static_cast<std::int64_t>(rows)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  *layout =
      new Layout{type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols), leading};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void* value, std::size_t size_bytes) {
  if (which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    if (size_bytes != sizeof(std::uint64_t)) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    std::memcpy(&preference->workspace_bytes, value, size_bytes);
    return CUBLAS_STATUS_SUCCESS;
  }
  if (size_bytes != sizeof(std::uint32_t)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memcpy(&preference->alignments[static_cast<std::size_t>(
                  which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES)],
              value, size_bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t /*handle*/,
                                              cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t found[], int* count) {
  const bool wide = d->type == CUDA_R_64F;
  const Product product{*operation, *a, *b, *d, 1, 0};
  const std::int64_t b_inner = operation->operations[1] == CUBLAS_OP_N ? b->rows : b->cols;
  const std::int64_t m = operation->operations[0] == CUBLAS_OP_N ? a->rows : a->cols;
  const std::int64_t n = operation->operations[1] == CUBLAS_OP_N ? b->cols : b->rows;
  *count = 0;
  if (wanted < 1 || product.inner() != b_inner || m != d->rows || n != d->cols ||
      operation->compute != (wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F) ||
      operation->scale != (wide ? CUDA_R_64F : CUDA_R_32F) || a->type != b->type) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  found[0] = {};
  found[0].algo.data[0] = hash_of(*operation, {a, b, c, d});
  for (std::size_t i = 0; i < preference->alignments.size(); ++i) {
    found[0].algo.data[1 + i] = preference->alignments[i];
  }
  found[0].workspaceSize = preference->workspace_bytes / 2;
  found[0].algo.data[5] = found[0].workspaceSize;
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  const std::uint64_t* found = algorithm->data;
  if (handle == nullptr || stream == nullptr || handle->device != emulation::device_of(stream) ||
      found[0] != hash_of(*operation, {a_layout, b_layout, c_layout, d_layout}) || c != d ||
      !lies_well(*a_layout, a, found[1], stream) || !lies_well(*b_layout, b, found[2], stream) ||
      !lies_well(*d_layout, d, found[4], stream) || workspace_bytes < found[5] ||
      emulation::device_of_memory(workspace, workspace_bytes) != handle->device) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const Product product{*operation,
                        *a_layout,
                        *b_layout,
                        *d_layout,
                        scalar(operation->scale, alpha),
                        scalar(operation->scale, beta)};
  const cudaError_t code =
      emulation::enqueue(stream, {"a matrix product", [=] { product.run(a, b, d); }});
  return code == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
// NOLINTEND(readability-identifier-naming, cppcoreguidelines-owning-memory)
