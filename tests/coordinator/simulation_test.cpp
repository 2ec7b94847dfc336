// SPDX-License-Identifier: Apache-2.0
// Whole campaigns in memory: every fault, many seeds, no violation of the accounting.
#include "coordinator/simulation/simulate.h"

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SimulationTest : public SweepTest {
 protected:
  // 36 trials whose budgets share trunks.
  static std::string sweep(const std::string& more = "") {
    std::vector<std::string> lines = valid_lines();
    lines[11] = "    - train: {batch: {examples: 8}, schedule: wsd}";
    lines.resize(14);
    return joined_lines(lines) +
           "  train.method: [full, {lora: {rank: 2}}, {lora: {rank: 4}}]\n"
           "  seed: [1, 2, 3]\n"
           "  train.data_budget: [100, 400, 1600, 6400]\n"
           "resources: {gangs: 4, max_attempts: 20, heartbeat_timeout: 20}\n" +
           more;
  }
  SimulationReport run(const std::string& text, const std::string& faults, std::uint64_t seed) {
    write("sweep.yaml", text);
    SimulationOptions options;
    options.sweep = load_sweep("sweep.yaml", {}, NamedFiles::kNeedNotExist);
    options.directory = path("store-" + std::to_string(++runs_));
    options.seed = seed;
    options.examples_per_second = 100;  // some minutes: long enough for every fault
    options.faults = parse_faults(faults);
    const SimulationReport report = simulate(options);
    std::filesystem::remove_all(options.directory);
    return report;
  }

 private:
  int runs_ = 0;
};

TEST_F(SimulationTest, WithoutFaultsGangsAreBusyAndNothingIsLost) {
  const SimulationReport report = run(sweep(), "", 1);
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.trials, 36);
  EXPECT_EQ(report.stages, 2 + 36 + 36 + 27);
  EXPECT_EQ(report.failed_stages, 0);
  EXPECT_EQ(report.coordinators, 1);
  EXPECT_EQ(report.lost_work_fraction, 0);
  EXPECT_GT(report.utilisation, 0.6);
  EXPECT_GE(report.makespan_s, report.ideal_s);
}

TEST_F(SimulationTest, ASeedReplaysExactly) {
  const SimulationReport a = run(sweep(), "all=0.02", 5);
  const SimulationReport b = run(sweep(), "all=0.02", 5);
  EXPECT_EQ(a.makespan_s, b.makespan_s);
  EXPECT_EQ(a.faults, b.faults);
  EXPECT_EQ(a.lost_work_fraction, b.lost_work_fraction);
  EXPECT_NE(run(sweep(), "all=0.02", 6).makespan_s, a.makespan_s);
}

TEST_F(SimulationTest, EveryFaultAloneIsSurvived) {
  const std::string whole = run(sweep(), "", 1).trials_hash;
  for (const char* fault : {"kill", "hang", "zombie", "lose", "duplicate", "slow", "rot", "torn",
                            "full", "clock", "crash"}) {
    const SimulationReport report = run(sweep(), std::string(fault) + "=0.05", 3);
    EXPECT_THAT(report.violations, IsEmpty()) << fault;
    EXPECT_GT(report.faults.at(fault), 0) << fault;
    EXPECT_EQ(report.failed_stages, 0) << fault;
    EXPECT_EQ(report.trials_hash, whole) << fault;
  }
}

TEST_F(SimulationTest, AllFaultsTogetherOverManySeeds) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const SimulationReport report = run(sweep(), "all=0.02", seed);
    EXPECT_THAT(report.violations, IsEmpty()) << "seed " << seed;
  }
}

TEST_F(SimulationTest, HalvingRunsTheSameTrialsWhateverHappens) {
  const std::string text = sweep("search: {halving: {eta: 2, per: [train.method]}}\n");
  const SimulationReport whole = run(text, "", 1);
  EXPECT_EQ(whole.trials, 9 + 3 + 3 + 3);
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const SimulationReport report = run(text, "kill=0.05,crash=0.03,lose=0.02", seed);
    EXPECT_THAT(report.violations, IsEmpty()) << "seed " << seed;
    EXPECT_EQ(report.trials_hash, whole.trials_hash) << "seed " << seed;
  }
}

TEST_F(SimulationTest, AshaAndTpeEndWhateverHappens) {
  for (const char* search : {"{asha: {eta: 2}}", "{tpe: {trials: 12}}"}) {
    const std::string text = sweep(std::string("search: ") + search + "\n");
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      const SimulationReport report = run(text, "kill=0.05,crash=0.03,lose=0.02", seed);
      EXPECT_THAT(report.violations, IsEmpty()) << search << " seed " << seed;
      EXPECT_GE(report.trials, 12);
    }
  }
}

TEST_F(SimulationTest, AttemptsThatAreUsedUpAreFailuresNotViolations) {
  const std::string text = sweep() + "";
  write("sweep.yaml", text);
  SimulationOptions options;
  options.sweep =
      load_sweep("sweep.yaml", {{"resources.max_attempts", "1"}}, NamedFiles::kNeedNotExist);
  options.directory = path("store");
  options.faults = parse_faults("kill=0.1");
  const SimulationReport report = simulate(options);
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_GT(report.failed_stages, 0);
}

TEST(Faults, AreParsedOrRefused) {
  EXPECT_EQ(parse_faults("kill=0.25").of(Fault::kKill), 0.25);
  EXPECT_EQ(parse_faults("kill=0.25").of(Fault::kHang), 0);
  EXPECT_EQ(parse_faults("all=0.1,kill=0").of(Fault::kKill), 0);
  EXPECT_EQ(parse_faults("all=0.1,kill=0").of(Fault::kCrash), 0.1);
  EXPECT_GT(parse_faults("torn").of(Fault::kTorn), 0);
  for (const char* bad : {"kil=0.1", "kill=x", "kill=2", "kill=-1", "kill="}) {
    EXPECT_THROW(static_cast<void>(parse_faults(bad)), Error) << bad;
  }
}

}  // namespace
}  // namespace finescale
