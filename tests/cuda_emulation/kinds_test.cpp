// SPDX-License-Identifier: Apache-2.0
// Every method, objective and update rule that GPUs have, on the emulated one: the losses and norms
// of the CPU. What they have not is refused by the same rule that plans a sweep.
#include <gtest/gtest.h>

#include "configs/gpu_support.h"
#include "tests/cuda_emulation/runtime/machine.h"
#include "tests/worker/kind_fixture.h"

namespace finescale::kind_test {
namespace {

// Each kind with the defaults of the others.
std::vector<Choice> choices() {
  std::vector<Choice> all;
  const auto add = [&](const Choice& choice) {
    if (!gpu_fault(settings(choice))) {
      all.push_back(choice);
    }
  };
  for (const Kind& method : methods()) {
    add({.method = method});
  }
  for (const Kind& objective : objectives()) {
    add({.objective = objective});
  }
  for (const Kind& rule : update_rules()) {
    add({.rule = rule});
  }
  return all;
}

TEST(GpuKinds, AreThoseOfDocsGpu) {
  EXPECT_GE(choices().size(), 9U);
}

class GpuKind : public testing::TestWithParam<Choice> {};

TEST_P(GpuKind, HasTheLossesOfTheCpu) {
  constexpr int kSteps = 2;
  const auto group = make_single_group();
  TrainedRun cpu(*group, GetParam());
  cpu.steps(0, kSteps);
  cuda::emulation::start_machine({.pace = cuda::emulation::Pace::kRandom, .seed = 3});
  {
    Gpu gpu(0, 0);
    TrainedRun run(*group, GetParam(), {}, 0, gpu.stream());
    run.steps(0, kSteps);
    ASSERT_EQ(run.losses.size(), cpu.losses.size());
    for (std::size_t i = 0; i < cpu.losses.size(); ++i) {
      EXPECT_NEAR(run.losses[i] / cpu.losses[i], 1, i % 2 == 0 ? 1e-5 : 1e-4) << i;
    }
  }
  cuda::emulation::start_machine({});  // tells of what was left behind
}

INSTANTIATE_TEST_SUITE_P(All, GpuKind, testing::ValuesIn(choices()));

}  // namespace
}  // namespace finescale::kind_test
