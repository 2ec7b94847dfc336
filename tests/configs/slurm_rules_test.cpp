// SPDX-License-Identifier: Apache-2.0
#include "configs/slurm_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace finescale {
namespace {

using testing::HasSubstr;

TEST(SlurmRules, TimesAsSlurmWritesThem) {
  EXPECT_EQ(parse_slurm_time("90"), 5400);
  EXPECT_EQ(parse_slurm_time("1:30"), 90);
  EXPECT_EQ(parse_slurm_time("02:00:00"), 7200);
  EXPECT_EQ(parse_slurm_time("1-0"), 86400);
  EXPECT_EQ(parse_slurm_time("2-12:30"), 217800);
  EXPECT_EQ(parse_slurm_time("0-00:00:05"), 5);
  for (const char* text : {"", "-", ":", "1:", "1-", "-1", "1:2:3:4", "1-1:2:3:4", "2h", "1 00",
                           "02:00:00 ", "1--2", "999999999"}) {
    EXPECT_FALSE(parse_slurm_time(text)) << text;
  }
}

std::string complaint(const config::Slurm& slurm) {
  try {
    const Positions none;
    check_slurm(slurm, RuleReport("sweep.yaml", none));
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 2);
    return describe(error);
  }
}

TEST(SlurmRules, WhatWouldSpoilTheScriptIsRefused) {
  config::Slurm slurm;
  EXPECT_EQ(complaint(slurm), "");
  slurm.set_time("tomorrow");
  EXPECT_THAT(complaint(slurm), HasSubstr("resources.slurm.time is \"tomorrow\""));
  slurm.set_time("1:30");
  EXPECT_THAT(complaint(slurm), HasSubstr("longer than save_before (120 s)"));
  slurm.set_time("01:00:00");
  slurm.set_account("me\n#SBATCH --account=you");
  EXPECT_THAT(complaint(slurm), HasSubstr("resources.slurm.account holds a line break"));
  slurm.set_account("me");
  slurm.add_prologue("module load x\ncurl");
  EXPECT_THAT(complaint(slurm), HasSubstr("resources.slurm.prologue holds a line break"));
  slurm.set_prologue(0, "module load x");
  EXPECT_EQ(complaint(slurm), "");
}

TEST(SlurmRules, ExtraTakesOneLongOptionEach) {
  config::Slurm slurm;
  slurm.add_extra("--exclusive");
  slurm.add_extra("--mail-type=END");
  EXPECT_EQ(complaint(slurm), "");
  for (const char* option : {"-p gpu", "--p gpu", "gpu", "--", "--a=b\nrm"}) {
    slurm.set_extra(0, option);
    EXPECT_NE(complaint(slurm), "") << option;
  }
}

std::string pool_complaint(const config::Resources& resources) {
  try {
    const Positions none;
    check_pool(resources, RuleReport("sweep.yaml", none));
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 2);
    return describe(error);
  }
}

TEST(PoolRules, JobsAreGangs) {
  config::Resources resources;
  resources.set_gangs(3);
  resources.mutable_launcher()->mutable_pool()->set_max_jobs(3);
  EXPECT_EQ(pool_complaint(resources), "");
  resources.set_gangs(4);
  EXPECT_THAT(pool_complaint(resources),
              HasSubstr("resources.gangs is 4, and launcher.pool.max_jobs is 3"));
}

TEST(PoolRules, AnInterfaceIsOneWord) {
  config::Resources resources;
  for (const char* good : {"ib0", "10.1.2.3", "login1.site"}) {
    resources.set_interface(good);
    EXPECT_EQ(pool_complaint(resources), "") << good;
  }
  for (const char* bad : {"", "a b", "eth0\n"}) {
    resources.set_interface(bad);
    EXPECT_THAT(pool_complaint(resources), HasSubstr("resources.interface")) << bad;
  }
}

}  // namespace
}  // namespace finescale
