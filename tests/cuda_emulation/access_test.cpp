// SPDX-License-Identifier: Apache-2.0
// How kernels use memory: sectors of 32 bytes that warps touch against the least their bytes fill,
// and turns of shared memory. With FINESCALE_KERNEL_ACCESS=FILE the table is written there, for
// docs/kernels-cuda.md.
#include <cmath>
#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/cuda_emulation/access.h"
#include "tests/cuda_emulation/faulty.h"
#include "tests/cuda_emulation/kernel_names.h"
#include "tests/cuda_emulation/measured.h"

namespace finescale {
namespace {

using cuda::emulation::AccessCounts;

std::vector<measured::Operation> all_measured() {
  std::vector<measured::Operation> all =
      measured::operations_of_both_types(DType::kF32, "float", 4);
  for (auto rows : {measured::operations_of_both_types(DType::kBf16, "Bf16", 8),
                    measured::operations_of_one_type()}) {
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

TEST(Access, SectorsAreFullAndBanksDoNotConflict) {
  std::ofstream table;
  if (const char* path = std::getenv("FINESCALE_KERNEL_ACCESS"); path != nullptr) {
    table.open(path);
  }
  for (const measured::Operation& one : all_measured()) {
    cuda::emulation::start_counting();
    one.run(Side(DeviceType::kCuda, one.dtype));
    const std::vector<AccessCounts> counts = cuda::emulation::stop_counting();
    ASSERT_EQ(counts.size(), one.launches.size()) << one.name;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const measured::Launch& launch = one.launches[i];
      const std::string where = one.name + " " + launch.kernel + " " + dtype_name(one.dtype);
      const auto sectors = static_cast<double>(counts[i].sectors);
      const std::string name = cuda::emulation::kernel_name(counts[i].kernel);
      EXPECT_TRUE(name == launch.kernel || launch.kernel.ends_with(":" + name)) << where << name;
      EXPECT_GT(sectors, 0) << where;
      EXPECT_LE(sectors, launch.most_sectors * static_cast<double>(counts[i].least_sectors))
          << where;
      if (launch.operand_bytes > 0) {
        EXPECT_LE(sectors, 1.1 * launch.operand_bytes / 32) << where;
      }
      EXPECT_EQ(counts[i].bank_conflicts, 0) << where;
      EXPECT_EQ(counts[i].races, 0) << where;
      table << one.name << '\t' << launch.kernel << '\t' << counts[i].threads << '\t'
            << counts[i].dynamic_shared_bytes << '\t' << counts[i].sectors << '\t'
            << counts[i].least_sectors << '\t' << std::ceil(launch.operand_bytes / 32) << '\t'
            << counts[i].bank_conflicts << '\n';
    }
  }
}

TEST(Races, AreFoundInFaultyKernels) {
  std::vector<float> in(64, 1);
  std::vector<float> out(64);
  const auto races_of = [&](const auto& run, cuda::Fault fault) {
    cuda::emulation::start_counting();
    run(in.data(), out.data(), fault);
    return cuda::emulation::stop_counting().at(0).races;
  };
  EXPECT_EQ(races_of(cuda::run_reverse, cuda::Fault::kNone), 0);
  EXPECT_EQ(races_of(cuda::run_reverse, cuda::Fault::kMissingBarrier), 64 * 4);
  EXPECT_EQ(races_of(cuda::run_swap, cuda::Fault::kNone), 0);
  EXPECT_EQ(races_of(cuda::run_swap, cuda::Fault::kMissingWarpSync), 64 * 4);
  EXPECT_EQ(races_of(cuda::run_swap, cuda::Fault::kTwoOwners), 32 * 4);
}

}  // namespace
}  // namespace finescale
