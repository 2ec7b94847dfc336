// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store.h"

#include <unistd.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"

namespace finescale {
namespace {

using ::testing::HasSubstr;

class StoreTest : public testing::Test {
 protected:
  std::string directory_ = testing::TempDir() + "finescale_store_" + std::to_string(::getpid());
  void SetUp() override {
    std::filesystem::remove_all(directory_);
    make_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  static StoredStage stage(const std::string& key) {
    StoredStage one;
    one.key = key;
    one.label = "train";
    one.spec = "spec";
    one.state = StageState::kRunning;
    one.epoch = 3;
    one.gang = 2;
    one.attempts = 1;
    one.error_kind = "comm";
    one.error = "it broke";
    one.result = std::string("\0\1binary", 8);
    return one;
  }
};

TEST_F(StoreTest, ReadsBackWhatWasCommitted) {
  {
    Store store(directory_);
    store.begin();
    store.put_stage(stage("a"));
    store.put_trial({"t0002", "{}", false});
    store.put_trial({"t0001", R"({"x": 1})", true});
    store.put_gang({1, 4711, "host"});
    store.put_gang({2, 4712, "host"});
    store.remove_gang(1);
    store.put_tuned("g", "train.learning_rate", "0.001");
    store.set_meta("name", "value");
    store.commit();
  }
  Store store(directory_);
  ASSERT_EQ(store.stages().size(), 1U);
  const StoredStage read = store.stages()[0];
  EXPECT_EQ(read.key, "a");
  EXPECT_EQ(read.state, StageState::kRunning);
  EXPECT_EQ(read.epoch, 3);
  EXPECT_EQ(read.gang, 2);
  EXPECT_EQ(read.error_kind, "comm");
  EXPECT_EQ(read.result, std::string("\0\1binary", 8));
  ASSERT_EQ(store.trials().size(), 2U);
  EXPECT_EQ(store.trials()[0].id, "t0002");  // in the order planned
  EXPECT_TRUE(store.trials()[1].stopped);
  ASSERT_EQ(store.gangs().size(), 1U);
  EXPECT_EQ(store.gangs()[0].pid, 4712);
  EXPECT_EQ(store.tuned().at("g").at("train.learning_rate"), "0.001");
  EXPECT_EQ(store.meta("name"), "value");
  EXPECT_EQ(store.meta("nothing"), std::nullopt);
}

// A campaign that grew twice: known trials are put again in front of the new ones.
TEST_F(StoreTest, TrialsOfALaterRunComeBehindTheEarlier) {
  const std::vector<std::vector<std::string>> plans = {
      {"a"}, {"a", "b", "c"}, {"d", "a", "b", "c"}, {"d", "e", "a", "b", "c"}};
  for (const std::vector<std::string>& plan : plans) {
    Store store(directory_);
    store.begin();
    for (const std::string& id : plan) {
      store.put_trial({id, "{}", false});
    }
    store.commit();
  }
  Store store(directory_);
  std::string order;
  for (const StoredTrial& trial : store.trials()) {
    order += trial.id;
  }
  EXPECT_EQ(order, "abcde");
}

TEST_F(StoreTest, WhatWasNotCommittedIsNotThere) {
  {
    Store store(directory_);
    store.begin();
    store.put_stage(stage("kept"));
    store.commit();
    store.begin();
    store.put_stage(stage("lost"));
    StoredStage changed = stage("kept");
    changed.epoch = 99;
    store.put_stage(changed);
  }  // the process ends here
  Store store(directory_);
  ASSERT_EQ(store.stages().size(), 1U);
  EXPECT_EQ(store.stages()[0].epoch, 3);
}

TEST_F(StoreTest, ASecondCoordinatorIsRefused) {
  const Store first(directory_);
  try {
    const Store second(directory_);
    FAIL() << "two coordinators would write one store";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_THAT(describe(error), HasSubstr("another coordinator runs this campaign"));
    EXPECT_THAT(describe(error), HasSubstr(directory_));
  }
}

TEST_F(StoreTest, ADamagedStoreIsAnErrorNotAnEmptyCampaign) {
  write_file_atomically(directory_ + "/store.sqlite", std::string(5000, 'x'));
  EXPECT_THROW(Store store(directory_), Error);
}

}  // namespace
}  // namespace finescale
