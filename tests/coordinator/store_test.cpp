// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store.h"

#include <unistd.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "comm/rpc/address.h"
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

// Both kinds of commits make the same store.
class StoreCommitsTest : public StoreTest, public testing::WithParamInterface<Commits> {};

TEST_P(StoreCommitsTest, ReadsBackWhatWasCommitted) {
  {
    Store store(directory_, GetParam());
    store.begin();
    StoredStage one = stage("a");
    one.form = store.put_form("spec \x01 of \x01");
    one.fillings = "x\ny\n";
    store.put_stage(one);
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
  EXPECT_EQ(store.spec_of(read), "spec x of y");
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

TEST_P(StoreCommitsTest, ReadsWhatHasJustBeenWritten) {
  Store store(directory_, GetParam());
  store.begin();
  StoredStage one = stage("a");
  store.put_stage(one);
  store.commit();
  for (const StageState state : {StageState::kPending, StageState::kRunning, StageState::kDone}) {
    store.begin();
    one.state = state;
    ++one.epoch;
    store.update_stage(one);
    store.commit();
    ASSERT_EQ(store.stages().size(), 1U);
    EXPECT_EQ(store.stages()[0].state, state);
    EXPECT_EQ(store.stages()[0].epoch, one.epoch);
  }
  EXPECT_EQ(store.stages()[0].key, "a");
  EXPECT_EQ(store.stages()[0].error, "it broke");
  EXPECT_EQ(store.stages()[0].result, one.result);
}

TEST_P(StoreCommitsTest, NothingIsThereOnceRolledBack) {
  Store store(directory_, GetParam());
  store.begin();
  store.put_gang({1, 4711, "host"});
  store.rollback();
  EXPECT_TRUE(store.gangs().empty());
  store.begin();
  store.put_gang({2, 4712, "host"});
  store.commit();
  EXPECT_EQ(store.gangs().size(), 1U);
}

INSTANTIATE_TEST_SUITE_P(All, StoreCommitsTest,
                         testing::Values(Commits::kFlushed, Commits::kBehind),
                         [](const auto& each) {
                           return each.param == Commits::kBehind ? "behind" : "flushed";
                         });

TEST_F(StoreTest, WhatCouldNotBeWrittenBehindIsSaid) {
  Store store(directory_, Commits::kBehind);
  store.begin();
  StoredStage one = stage("a");
  store.put_stage(one);
  store.begin();  // inside another
  store.commit();
  try {
    store.settle();
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot start a transaction"));
  }
  EXPECT_THROW((void)store.stages(), Error);
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
    StoredStage kept = stage("kept");
    store.put_stage(kept);
    store.commit();
    store.begin();
    StoredStage lost = stage("lost");
    store.put_stage(lost);
    kept.epoch = 99;
    store.put_stage(kept);
  }  // the process ends here
  Store store(directory_);
  ASSERT_EQ(store.stages().size(), 1U);
  EXPECT_EQ(store.stages()[0].epoch, 3);
}

TEST_F(StoreTest, ASecondCoordinatorIsRefused) {
  const Store first(directory_);
  write_address(directory_, {"127.0.0.1", 1, "token", 1, 4711, "node7"});
  try {
    const Store second(directory_);
    FAIL() << "two coordinators would write one store";
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 3);
    EXPECT_THAT(describe(error), HasSubstr("another coordinator runs this campaign (process 4711 "
                                           "on node7 since 2"));
    EXPECT_THAT(describe(error), HasSubstr(directory_));
  }
}

// What opening says; "" when it opens.
std::string refusal(const std::string& directory, ErrorKind kind) {
  try {
    const Store store(directory);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    EXPECT_FALSE(error.hint().empty());
    return describe(error);
  }
  return "";
}

TEST_F(StoreTest, ADamagedStoreIsAnErrorNotAnEmptyCampaign) {
  const std::string path = directory_ + "/store.sqlite";
  write_file_atomically(path, std::string(5000, 'x'));
  EXPECT_THAT(refusal(directory_, ErrorKind::kCheckpoint), HasSubstr("is damaged"));
  EXPECT_EQ(read_file(path), std::string(5000, 'x'));  // as it was
}

TEST_F(StoreTest, SoIsOneThatSomebodyEmptied) {
  const std::string path = directory_ + "/store.sqlite";
  make_directories(directory_ + "/sweeps");
  write_file_atomically(directory_ + "/sweeps/words.txt", "name: words");
  write_file_atomically(path, "");
  EXPECT_THAT(refusal(directory_, ErrorKind::kCheckpoint), HasSubstr("it is empty"));
  EXPECT_EQ(read_file(path), "");
}

TEST_F(StoreTest, FlippedBytesInsideAreFoundWhenItIsOpened) {
  const std::string path = directory_ + "/store.sqlite";
  {
    Store store(directory_);
    store.begin();
    for (int i = 0; i < 500; ++i) {
      StoredStage one = stage("stage " + std::to_string(i));
      store.put_stage(one);
    }
    store.commit();
  }
  std::string bytes = read_file(path);
  ASSERT_GT(bytes.size(), 40000U);
  for (std::size_t page = 2 * 4096; page + 4096 <= bytes.size(); page += 4096) {
    bytes.replace(page, 8, "\xff\xff\xff\xff\xff\xff\xff\xff");  // headers of pages
  }
  write_file_atomically(path, bytes);
  EXPECT_THAT(refusal(directory_, ErrorKind::kCheckpoint), HasSubstr("is damaged"));
}

TEST_F(StoreTest, AStoreOfANewerProgramIsLeftAlone) {
  {
    Store store(directory_);
    store.begin();
    store.set_meta("schema_version", "99");
    store.commit();
  }
  const std::string before = read_file(directory_ + "/store.sqlite");
  EXPECT_THAT(refusal(directory_, ErrorKind::kConfig), HasSubstr("version 99"));
  EXPECT_EQ(read_file(directory_ + "/store.sqlite"), before);
}

// Version 1 kept everything about a stage in one row.
TEST_F(StoreTest, AStoreOfVersionOneIsTakenOver) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((directory_ + "/store.sqlite").c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database,
                         "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT "
                         "ROWID; INSERT INTO meta VALUES ('schema_version', '1');"
                         "CREATE TABLE stages (key TEXT PRIMARY KEY, label TEXT, spec TEXT, state "
                         "INTEGER, epoch INTEGER, gang INTEGER, attempts INTEGER, error_kind TEXT, "
                         "error TEXT, result BLOB);"
                         "INSERT INTO stages VALUES ('k1', 'train', 'text 1', 2, 4, 0, 1, '', '', "
                         "x'0102'), ('k2', 'evaluate', 'text 2', 0, 0, 0, 0, '', '', x'')",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  for (int open = 0; open < 2; ++open) {
    Store store(directory_);
    const std::vector<StoredStage> stages = store.stages();
    ASSERT_EQ(stages.size(), 2U);
    EXPECT_EQ(stages[0].key, "k1");
    EXPECT_EQ(stages[0].state, StageState::kDone);
    EXPECT_EQ(stages[0].epoch, 4);
    EXPECT_EQ(stages[0].result, "\1\2");
    EXPECT_EQ(store.spec_of(stages[0]), "text 1");
    EXPECT_EQ(store.spec_of(stages[1]), "text 2");
    EXPECT_EQ(stages[1].result, "");
  }
}

// Version 2 kept results in a table of their own.
TEST_F(StoreTest, AStoreOfVersionTwoIsTakenOver) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((directory_ + "/store.sqlite").c_str(), &database), SQLITE_OK);
  ASSERT_EQ(
      sqlite3_exec(database,
                   "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID; "
                   "INSERT INTO meta VALUES ('schema_version', '2');"
                   "CREATE TABLE forms (id INTEGER PRIMARY KEY, text TEXT NOT NULL);"
                   "INSERT INTO forms VALUES (1, 'text');"
                   "CREATE TABLE stages (id INTEGER PRIMARY KEY, key TEXT, label TEXT, form "
                   "INTEGER, fillings TEXT);"
                   "INSERT INTO stages VALUES (1, 'k1', 'train', 1, ''), (2, 'k2', 'evaluate', 1, "
                   "'');"
                   "CREATE TABLE states (id INTEGER PRIMARY KEY, state INTEGER, epoch INTEGER, "
                   "gang INTEGER, attempts INTEGER, error_kind TEXT, error TEXT);"
                   "INSERT INTO states VALUES (1, 2, 4, 0, 1, '', ''), (2, 3, 5, 0, 3, 'io', 'x');"
                   "CREATE TABLE results (id INTEGER PRIMARY KEY, result BLOB NOT NULL);"
                   "INSERT INTO results VALUES (1, x'0102')",
                   nullptr, nullptr, nullptr),
      SQLITE_OK);
  sqlite3_close(database);
  for (int open = 0; open < 2; ++open) {
    Store store(directory_);
    const std::vector<StoredStage> stages = store.stages();
    ASSERT_EQ(stages.size(), 2U);
    EXPECT_EQ(stages[0].state, StageState::kDone);
    EXPECT_EQ(stages[0].epoch, 4);
    EXPECT_EQ(stages[0].result, "\1\2");
    EXPECT_EQ(stages[1].state, StageState::kFailed);
    EXPECT_EQ(stages[1].attempts, 3);
    EXPECT_EQ(stages[1].error, "x");
    EXPECT_EQ(stages[1].result, "");
    EXPECT_EQ(store.spec_of(stages[1]), "text");
  }
}

// A stage that was done and must run again has no result.
TEST_F(StoreTest, AResultGoesWithItsState) {
  {
    Store store(directory_);
    store.begin();
    StoredStage one = stage("a");
    one.state = StageState::kDone;
    one.result = "result";
    store.put_stage(one);
    one.state = StageState::kPending;
    one.result.clear();
    store.update_stage(one);
    StoredStage two = stage("b");
    store.put_stage(two);
    two.state = StageState::kDone;
    two.result = std::string("\0a", 2);
    store.update_stage(two);
    store.commit();
  }
  const std::vector<StoredStage> stages = Store(directory_).stages();
  ASSERT_EQ(stages.size(), 2U);
  EXPECT_EQ(stages[0].result, "");
  EXPECT_EQ(stages[1].result, std::string("\0a", 2));
}

TEST_F(StoreTest, WhatIsRolledBackIsNotThere) {
  Store store(directory_);
  store.begin();
  StoredStage one = stage("a");
  store.put_stage(one);
  store.rollback();
  store.rollback();  // nothing is open: nothing happens
  EXPECT_TRUE(store.stages().empty());
}

}  // namespace
}  // namespace finescale
