// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernel_profile.h"

#include <thread>

#include <gtest/gtest.h>

#include "kernels/gemm.h"
#include "kernels/reduce.h"
#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

void wait(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

TEST(KernelProfile, TimeOfAKernelIsWithoutThoseItCalls) {
  KernelProfile profile;
  profile.begin();
  wait(2);
  profile.begin();
  wait(40);
  profile.end({"inner", {3}, 5, 7});
  profile.end({"outer", {3}, 1, 2});
  ASSERT_EQ(profile.rows().size(), 2U);
  EXPECT_EQ(profile.rows()[0].name, "inner");
  EXPECT_GE(profile.rows()[0].seconds, 0.040);
  EXPECT_GE(profile.rows()[1].seconds, 0.002);
  EXPECT_LT(profile.rows()[1].seconds, profile.rows()[0].seconds);
}

TEST(KernelProfile, CallsOfOneShapeAreOneRow) {
  std::vector<float> memory(3 * 12, 1);
  const TensorView a(memory.data(), DType::kF32, Shape{4, 3});
  const TensorView b(memory.data() + 12, DType::kF32, Shape{4, 3});
  const TensorView c(memory.data() + 20, DType::kF32, Shape{4, 4});
  KernelProfile profile;
  const Stream stream(DeviceType::kCpu, &profile);
  gemm(stream, Transpose::kNo, Transpose::kYes, 1, a, b, 0, c);
  gemm(stream, Transpose::kNo, Transpose::kYes, 1, a, b, 1, c);
  fill_zero(stream, c);
  ASSERT_EQ(profile.rows().size(), 2U);
  const KernelProfile::Row& product = profile.rows()[0];
  EXPECT_EQ(product.name, "gemm_nt");
  EXPECT_EQ(product.calls, 2);
  EXPECT_EQ(product.shape, (std::array<std::int64_t, 3>{4, 4, 3}));
  EXPECT_EQ(product.flops, 2 * 2.0 * 4 * 4 * 3);
  EXPECT_EQ(product.bytes, 2 * 4.0 * (12 + 12 + 16) + 4.0 * 16);
  EXPECT_EQ(profile.rows()[1].bytes, 4.0 * 16);
  profile.clear();
  EXPECT_TRUE(profile.rows().empty());
}

}  // namespace
}  // namespace finescale
