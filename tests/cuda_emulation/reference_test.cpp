// SPDX-License-Identifier: Apache-2.0
// Every CUDA kernel of the table, on the emulator, against double precision: in three orders of
// threads, whose results must be the same bits. Built twice: with the small sizes, and under the
// label slow with the large ones.
#include <tuple>

#include <gtest/gtest.h>

#include "tests/cuda_emulation/cases.h"
#include "tests/cuda_emulation/include/cuda_runtime.h"

namespace finescale {

namespace {

using cuda::emulation::Order;

#ifdef FINESCALE_SLOW_SIZES
const std::vector<Size>& sizes_of(const Case& tested) {
  return tested.slow_sizes;
}
#else
const std::vector<Size>& sizes_of(const Case& tested) {
  return tested.sizes;
}
#endif

struct Row {
  Case tested;
  DType dtype;
  Size size;
};

void PrintTo(const Row& row, std::ostream* out) {
  *out << row.tested.name;
}

std::vector<Row> rows() {
  std::vector<Row> all;
  for (const Case& tested : all_cases()) {
    for (const DType dtype : tested.dtypes) {
      for (const Size& size : sizes_of(tested)) {
        all.push_back({tested, dtype, size});
      }
    }
  }
  return all;
}

class Reference : public testing::TestWithParam<Row> {
 protected:
  void TearDown() override { cuda::emulation::set_order(Order::kForward); }
};

void expect_near(const std::string& name, const Array& got, const Array& wanted, double slack) {
  EXPECT_LE(difference_of(got, wanted), slack * tolerance_of(got.dtype())) << name;
  EXPECT_TRUE(got.gaps_untouched()) << name;
}

TEST_P(Reference, AgreesWithDoublePrecisionInEveryOrder) {
  const auto& [tested, dtype, size] = GetParam();
  const Results wanted = tested.run(Side(DeviceType::kCpu, dtype), size);
  Results first;
  for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
    cuda::emulation::set_order(order, 11);
    Results got = tested.run(Side(DeviceType::kCuda, dtype), size);
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (order == Order::kForward) {
        expect_near(got[i].first, got[i].second, wanted[i].second, tested.slack);
      } else {
        EXPECT_TRUE(got[i].second.bytes() == first[i].second.bytes()) << got[i].first;
      }
    }
    if (order == Order::kForward) {
      first = std::move(got);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Table, Reference, testing::ValuesIn(rows()), [](const auto& one) {
  const Size& size = one.param.size;
  return one.param.tested.name + "_" + dtype_name(one.param.dtype) + "_" +
         std::to_string(size.rows) + "x" + std::to_string(size.cols) + "_" +
         std::to_string(size.more);
});

}  // namespace
}  // namespace finescale
