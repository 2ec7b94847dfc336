// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign_core.h"

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Pair;

// Starts nothing; a gang ends when the test says so.
class FakeLauncher : public Launcher {
 public:
  std::int64_t start(const GangLaunch& /*launch*/) override { return 1; }
  bool adopt(const GangLaunch& /*launch*/, std::int64_t /*number*/) override { return is_alive; }
  std::vector<GangExit> ended() override { return {}; }
  void kill(std::int64_t /*gang*/) override {}
  [[nodiscard]] int cores() const override { return 1; }
  bool is_alive = false;
};

class NoAnswers : public AnswerSink {
 public:
  void answer(std::uint64_t /*request*/, RpcReply /*reply*/) override {}
};

class CampaignCoreTest : public SweepTest {
 protected:
  // A coordinator's life.
  struct Life {
    Life(const config::Sweep& sweep, const std::string& directory, Artifacts& artifacts,
         Launcher& launcher)
        : book(sweep, directory, artifacts, {[](const std::string& path) { return path; }}) {
      book.open(false, clock.unix_now());
      reactor = std::make_unique<Reactor>(reactor_options(sweep.resources(), book.epoch()));
      core = std::make_unique<CampaignCore>(CampaignParts{
          sweep, book, *reactor, launcher, artifacts, answers, nullptr, clock, *logger});
      core->start();
    }
    CampaignBook book;
    NoAnswers answers;
    FakeClock clock;
    std::ostringstream said;
    std::shared_ptr<Logger> logger =
        std::make_shared<Logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(said));
    std::unique_ptr<Reactor> reactor;
    std::unique_ptr<CampaignCore> core;
  };

  void SetUp() override {
    SweepTest::SetUp();
    sweep_ = load(valid());
    campaign_ = path("campaign");
    artifacts_ = make_file_artifacts(campaign_);
  }
  std::unique_ptr<Life> live() {
    return std::make_unique<Life>(sweep_, campaign_, *artifacts_, launcher_);
  }
  // What a coordinator that died before it could do more has left.
  void set_first_stage(StageState state) {
    Store store(campaign_);
    StoredStage first = store.stages().front();
    first.state = state;
    first.error_kind = "data";
    first.error = "no text";
    store.begin();
    store.update_stage(first);
    store.put_gang({7, 1, ""});
    store.commit();
  }

  config::Sweep sweep_;
  std::string campaign_;
  std::unique_ptr<Artifacts> artifacts_;
  FakeLauncher launcher_;
};

TEST_F(CampaignCoreTest, IsNotOverBeforeWhatNobodyWaitsForIsStored) {
  live().reset();
  set_first_stage(StageState::kFailed);
  std::unique_ptr<Life> life = live();
  life->core->tick();  // what reads the failed stage fails: no gang is there to hear of it
  EXPECT_TRUE(life->reactor->all_settled());
  EXPECT_FALSE(life->core->is_over());
  EXPECT_TRUE(life->core->flush());
  EXPECT_TRUE(life->core->is_over());
  life.reset();
  EXPECT_THAT(Store(campaign_).states(), Each(Pair(testing::_, StageState::kFailed)));
}

TEST_F(CampaignCoreTest, AFailureThatManyWaitForIsSaidOnceAndCounted) {
  live().reset();
  set_first_stage(StageState::kFailed);
  const std::unique_ptr<Life> life = live();
  life->core->tick();  // the pretraining, four runs and what evaluates them
  const std::string said = life->said.str();
  EXPECT_THAT(said, AllOf(HasSubstr("pretrain: its input failed: tokenizer: no text"),
                          HasSubstr("5 more stages need what has failed")));
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 5);
}

TEST_F(CampaignCoreTest, IsNotOverBeforeTheLastGangIsForgotten) {
  live().reset();
  set_first_stage(StageState::kFailed);
  launcher_.is_alive = true;
  std::unique_ptr<Life> life = live();
  life->core->tick();
  EXPECT_TRUE(life->core->flush());
  EXPECT_FALSE(life->core->is_over());
  life->core->gang_ended({7, 0, ""});
  EXPECT_FALSE(life->core->is_over());
  EXPECT_TRUE(life->core->flush());
  EXPECT_TRUE(life->core->is_over());
  EXPECT_TRUE(life->book.gangs().empty());
}

}  // namespace
}  // namespace finescale
