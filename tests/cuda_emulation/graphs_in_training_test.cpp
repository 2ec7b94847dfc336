// SPDX-License-Identifier: Apache-2.0
// Training steps whose launches are replayed as graphs, beside the same one by one.
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/parallel.h"
#include "tests/cuda_emulation/training_run.h"

namespace finescale {
namespace {

// Losses and norms of 20 steps, what they left, and what became of the last five's operations.
struct GraphRun {
  std::vector<std::pair<double, double>> steps;
  std::vector<std::vector<std::byte>> state;
  GpuGraphs before;
  GpuGraphs after;
  [[nodiscard]] double share_replayed() const {
    return static_cast<double>(after.replayed_operations - before.replayed_operations) /
           static_cast<double>(after.operations - before.operations);
  }
};

GraphRun run_with_graphs(const Setting& setting, const char* graphs) {
  constexpr int kSteps = 20;
  GraphRun result;
  cuda::emulation::start_machine({.pace = setting.pace, .seed = 5});
  {
    ::setenv("FINESCALE_GPU_GRAPHS", graphs, 1);
    Gpu gpu(0, 0);
    ::unsetenv("FINESCALE_GPU_GRAPHS");
    TrainedRun run(setting, kSteps, &gpu);
    for (std::int64_t step = 0; step < kSteps; ++step) {
      result.before = step == kSteps - 5 ? gpu.graphs() : result.before;
      result.steps.push_back(run.step(step));
    }
    result.after = gpu.graphs();
    result.state = run.state();
  }
  cuda::emulation::start_machine({});
  return result;
}

struct GraphCase {
  Setting setting;
  double least_replayed = 0;  // of the last steps' operations
};

class GpuGraphsInTraining : public testing::TestWithParam<GraphCase> {};

TEST_P(GpuGraphsInTraining, HasTheBitsOfLaunchesOneByOne) {
  set_num_threads(1);
  const GraphRun with = run_with_graphs(GetParam().setting, "on");
  const GraphRun without = run_with_graphs(GetParam().setting, "off");
  EXPECT_EQ(with.steps, without.steps);
  EXPECT_TRUE(with.state == without.state);
  EXPECT_EQ(with.after.failure, "");
  EXPECT_EQ(without.after.segments, 0);
  EXPECT_GE(with.share_replayed(), GetParam().least_replayed);
}

// Rows of one length repeat, and so does the update, which reads the factors of the step in the
// GPU's memory. What stands alone between two copies does not.
INSTANTIATE_TEST_SUITE_P(
    Settings, GpuGraphsInTraining,
    testing::Values(GraphCase{{.num_layers = 2, .example_length = 8}, 0.95},
                    GraphCase{{.num_layers = 2,
                               .method = "lora",
                               .products = Products::kBf16,
                               .pace = Pace::kRandom,
                               .example_length = 8},
                              0.95},
                    GraphCase{{.moments = config::OPTIMIZER_STATE_BF16, .example_length = 8}, 0.93},
                    GraphCase{{.moments = config::OPTIMIZER_STATE_INT8,
                               .pace = Pace::kRandom,
                               .example_length = 8},
                              0.93},
                    GraphCase{{.example_length = 8, .optimizer = "sgd"}, 0.9},
                    GraphCase{{.method = "lora", .example_length = 8, .optimizer = "lion"}, 0.9},
                    GraphCase{{.num_layers = 2, .products = Products::kBf16}},
                    GraphCase{{.num_layers = 2, .method = "lora", .pace = Pace::kEager}}),
    [](const auto& one) {
      const Setting& setting = one.param.setting;
      return setting.method + (setting.products == Products::kBf16 ? "_rounded" : "_f32") +
             (setting.example_length > 0 ? "_fixed_" : "_ragged_") + setting.optimizer + "_" +
             std::to_string(static_cast<int>(setting.moments));
    });

}  // namespace
}  // namespace finescale
