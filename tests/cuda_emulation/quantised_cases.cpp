// SPDX-License-Identifier: Apache-2.0
// Codes of a few bits to values. `more` is the format, and from 8 on its scales are codes, too; the
// matrix is the part of a whole one that begins at a column which is that of no block.
#include "kernels/cuda/quantised.h"

#include "tests/cuda_emulation/cases.h"
#include "tests/kernels/stored_matrix.h"

namespace finescale {

namespace {

constexpr std::int64_t kDoubles = 8;

Results dequantised(const Side& side, const Size& size) {
  const std::int64_t begin = size.cols / 3 / 2 * 2;
  Array whole = Side(DeviceType::kCpu, DType::kF64).input(1, size.rows + 1, begin + size.cols);
  const StoredMatrix<DeviceAllocator> stored(static_cast<QuantFormat>(size.more % kDoubles),
                                             whole.view(), size.more >= kDoubles, begin,
                                             begin + size.cols);
  const auto run = side.is_cuda() ? cuda::dequantise : dequantise;
  Array all = side.output(size.rows, size.cols, 4);
  run(side.stream, stored.matrix, 1, 0, all.view());
  const std::int64_t skipped = size.cols / 4;
  Array some = side.output(1, size.cols - skipped, 1);
  run(side.stream, stored.matrix, 0, skipped, some.view());
  return {{"all", all}, {"some", some}};
}

}  // namespace

std::vector<Case> quantised_cases() {
  std::vector<Size> sizes;
  for (std::int64_t more = 0; more < 6; ++more) {
    for (const std::int64_t cols : {1, 75, 192, 256, 1000}) {
      sizes.push_back({3, cols, more});
      sizes.push_back({3, cols, more + kDoubles});
    }
  }
  return {{.name = "dequantise",
           .dtypes = {DType::kF32, DType::kBf16, DType::kF64},
           .sizes = sizes,
           .slow_sizes = {{300, 3001, 0}, {300, 3001, kDoubles}},
           .run = dequantised}};
}

}  // namespace finescale
