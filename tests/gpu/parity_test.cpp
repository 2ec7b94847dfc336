// SPDX-License-Identifier: Apache-2.0
// Every CUDA kernel of the emulation's table on a real GPU, against double precision on the CPU; a
// second run has the same bits.
#include <cuda_runtime_api.h>

#include <gtest/gtest.h>

#include "tests/cuda_emulation/cases.h"

namespace finescale {
namespace {

struct Row {
  Case tested;
  DType dtype;
  Size size;
};

std::vector<Row> rows() {
  std::vector<Row> all;
  for (const Case& tested : all_cases()) {
    for (const DType dtype : tested.dtypes) {
      for (const auto* sizes : {&tested.sizes, &tested.slow_sizes}) {
        for (const Size& size : *sizes) {
          all.push_back({tested, dtype, size});
        }
      }
    }
  }
  return all;
}

Results run_on_gpu(const Row& row) {
  Results results = row.tested.run(Side(DeviceType::kCuda, row.dtype), row.size);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  return results;
}

TEST(Parity, OfEveryKernelWithDoublePrecision) {
  for (const Row& row : rows()) {
    const std::string name = row.tested.name + " " + dtype_name(row.dtype) + " " +
                             std::to_string(row.size.rows) + "x" + std::to_string(row.size.cols);
    SCOPED_TRACE(name);
    const Results wanted = row.tested.run(Side(DeviceType::kCpu, row.dtype), row.size);
    const Results got = run_on_gpu(row);
    const Results again = run_on_gpu(row);
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_LE(difference_of(got[i].second, wanted[i].second),
                row.tested.slack * tolerance_of(got[i].second.dtype()))
          << got[i].first;
      EXPECT_TRUE(got[i].second.gaps_untouched()) << got[i].first;
      EXPECT_TRUE(got[i].second.bytes() == again[i].second.bytes()) << got[i].first;
    }
  }
}

}  // namespace
}  // namespace finescale
