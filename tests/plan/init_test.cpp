// SPDX-License-Identifier: Apache-2.0
#include "coordinator/init.h"

#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "coordinator/plan.h"
#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

class Init : public SweepTest {
 protected:
  static std::vector<nlohmann::json> lines(const std::string& jsonl) {
    std::vector<nlohmann::json> out;
    std::istringstream in(jsonl);
    for (std::string line; std::getline(in, line);) {
      out.push_back(nlohmann::json::parse(line));
    }
    return out;
  }
};

TEST_F(Init, TheSweepIsAcceptedAsItIs) {
  for (const InitFile& file : init_files(2)) {
    std::filesystem::create_directories(std::filesystem::path(file.name).parent_path().empty()
                                            ? std::filesystem::path(".")
                                            : std::filesystem::path(file.name).parent_path());
    write(file.name, file.text);
  }
  const config::Sweep sweep = load_sweep("sweep.yaml", {});
  EXPECT_EQ(sweep.resources().gangs(), 2);
  const Plan plan = make_plan(sweep, [](const std::string& path) { return path; }, {});
  EXPECT_GT(plan.trials.size(), 10U);
  EXPECT_EQ(sweep.data().overlap(), config::ON_OVERLAP_ERROR);
}

TEST_F(Init, DataAreDeterministicAndDisjoint) {
  EXPECT_EQ(init_data(0, 50, false), init_data(0, 50, false));
  EXPECT_EQ(init_data(0, 50, false) + init_data(50, 10, false), init_data(0, 60, false));
  std::set<std::string> prompts;
  for (const nlohmann::json& example : lines(init_data(0, 1800, false))) {
    EXPECT_TRUE(prompts.insert(example.at("prompt").get<std::string>()).second) << example;
    EXPECT_FALSE(example.at("response").get<std::string>().empty());
  }
  for (const nlohmann::json& text : lines(init_data(1800, 50, true))) {
    EXPECT_FALSE(text.at("text").get<std::string>().empty());
  }
}

}  // namespace
}  // namespace finescale
