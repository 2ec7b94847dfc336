// SPDX-License-Identifier: Apache-2.0
// The real libraries, as far as they answer without a driver: they load, have every function that
// is used, and take our descriptors.
#include <cstdint>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include "comm/nccl/nccl_library.h"
#include "core/error.h"
#include "kernels/cuda/cublaslt.h"

namespace finescale {
namespace {

// Why the library cannot be loaded here; empty: it can.
template <class Load>
std::string why_missing(const Load& load) {
  try {
    (void)load();
    return "";
  } catch (const Error& error) {
    return error.message();
  }
}

TEST(CublasLtLibrary, TakesDescriptorsOfEveryKind) {
  if (const std::string why = why_missing([] { return cuda::cublaslt(); }); !why.empty()) {
    GTEST_SKIP() << why;
  }
  const cuda::CublasLt& library = cuda::cublaslt();
  EXPECT_EQ(library.version() / 10000, static_cast<std::size_t>(CUBLAS_VER_MAJOR));
  for (const auto& [compute, scale, type] :
       {std::tuple{CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F},
        std::tuple{CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF},
        std::tuple{CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_64F}}) {
    cublasLtMatmulDesc_t operation = nullptr;
    ASSERT_EQ(library.create_operation(&operation, compute, scale), CUBLAS_STATUS_SUCCESS);
    const cuda::MatmulOperation owned(operation);
    const cublasOperation_t transposed = CUBLAS_OP_T;
    EXPECT_EQ(library.set_operation(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                    sizeof transposed),
              CUBLAS_STATUS_SUCCESS);
    cublasLtMatrixLayout_t layout = nullptr;
    EXPECT_EQ(library.create_layout(&layout, type, 64, 48, 96), CUBLAS_STATUS_SUCCESS);
    const cuda::MatrixLayout owned_layout(layout);
    cublasLtMatmulPreference_t preference = nullptr;
    ASSERT_EQ(library.create_preference(&preference), CUBLAS_STATUS_SUCCESS);
    const cuda::MatmulPreference owned_preference(preference);
    const std::uint64_t workspace = 32 << 20;
    const std::uint32_t alignment = 16;
    EXPECT_EQ(library.set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                     &workspace, sizeof workspace),
              CUBLAS_STATUS_SUCCESS);
    for (const auto which :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      EXPECT_EQ(library.set_preference(preference, which, &alignment, sizeof alignment),
                CUBLAS_STATUS_SUCCESS);
    }
  }
}

TEST(NcclLibrary, MakesUniqueIds) {
  if (const std::string why = why_missing([] { return nccl(); }); !why.empty()) {
    GTEST_SKIP() << why;
  }
  int version = 0;
  EXPECT_EQ(nccl().version(&version), ncclSuccess);
  EXPECT_GE(version, 22700);  // what the group relies on
  ncclUniqueId first{};
  ncclUniqueId second{};
  EXPECT_EQ(nccl().unique_id(&first), ncclSuccess);
  EXPECT_EQ(nccl().unique_id(&second), ncclSuccess);
  EXPECT_NE(std::string(first.internal, sizeof first.internal),
            std::string(second.internal, sizeof second.internal));
}

}  // namespace
}  // namespace finescale
