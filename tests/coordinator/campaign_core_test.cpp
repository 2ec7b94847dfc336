// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign_core.h"

#include <algorithm>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include "checkpoint/manifest.h"
#include "coordinator/simulation/simulated_artifacts.h"
#include "core/files.h"
#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
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

class KeptAnswers : public AnswerSink {
 public:
  void answer(std::uint64_t request, RpcReply reply) override {
    EXPECT_FALSE(replies.contains(request));
    replies[request] = std::move(reply);
  }
  std::map<std::uint64_t, RpcReply> replies;
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
    KeptAnswers answers;
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

  // As gang 1, whose calls have the numbers of their requests.
  template <class Message>
  void call(Life& life, std::uint64_t request, Message message) {
    message.mutable_caller()->set_gang(1);
    message.mutable_caller()->set_coordinator_epoch(life.book.epoch());
    message.mutable_caller()->set_number(static_cast<std::int64_t>(request));
    life.core->handle({request, std::move(message)});
  }
  // A life with a gang that has an order, the answer to request 2.
  std::unique_ptr<Life> live_with_order() {
    std::unique_ptr<Life> life = live();
    life->core->tick();
    call(*life, 1, proto::RegisterRequest());
    call(*life, 2, proto::NextRequest());
    EXPECT_TRUE(life->core->flush());
    return life;
  }
  // An order is executed; its commit asks for the next one.
  static proto::CommitRequest executed(const proto::NextReply& order) {
    const std::string place = order.attempt_dir();
    make_directories(place);
    proto::StageResult result;
    result.set_outcome(proto::StageResult::DONE);
    write_file(place + "/result.pb", result.SerializeAsString());
    Manifest manifest;
    manifest.key = stage_of_attempt(place);
    manifest.epoch = order.epoch();
    proto::CommitRequest commit;
    commit.set_key(manifest.key);
    commit.set_epoch(order.epoch());
    commit.set_attempt_dir(place);
    commit.set_manifest_hash(write_manifest(place, manifest, {"result.pb"}));
    *commit.mutable_result() = result;
    commit.mutable_next()->set_most(1);
    return commit;
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

TEST_F(CampaignCoreTest, OneAnswerAcceptsACommitAndBringsTheNextOrder) {
  std::unique_ptr<Life> life = live_with_order();
  const auto& replies = life->answers.replies;
  const auto first = std::get<proto::NextReply>(replies.at(2));
  ASSERT_EQ(first.order(), proto::NextReply::RUN);
  call(*life, 3, executed(first));
  EXPECT_FALSE(replies.contains(3));  // neither is stored
  EXPECT_TRUE(life->core->flush());
  const auto answer = std::get<proto::CommitReply>(replies.at(3));
  EXPECT_TRUE(answer.accepted());
  ASSERT_EQ(answer.next().order(), proto::NextReply::RUN);
  const std::string done = stage_of_attempt(first.attempt_dir());
  const std::string next = stage_of_attempt(answer.next().attempt_dir());
  EXPECT_NE(next, done);
  life.reset();
  EXPECT_THAT(Store(campaign_).states(), AllOf(Contains(Pair(done, StageState::kDone)),
                                               Contains(Pair(next, StageState::kRunning))));
}

TEST_F(CampaignCoreTest, ACommitThatComesAgainLeasesNothing) {
  const std::unique_ptr<Life> life = live_with_order();
  const auto& replies = life->answers.replies;
  const proto::CommitRequest commit = executed(std::get<proto::NextReply>(replies.at(2)));
  call(*life, 4, commit);
  call(*life, 3, commit);  // sent before it
  EXPECT_TRUE(life->core->flush());
  EXPECT_TRUE(std::get<proto::CommitReply>(replies.at(4)).accepted());
  const auto late = std::get<proto::CommitReply>(replies.at(3));
  EXPECT_FALSE(late.accepted());
  EXPECT_EQ(late.next().order(), proto::NextReply::WAIT);
}

TEST_F(CampaignCoreTest, ACommitIsAnsweredAtOnceWhenNothingIsReady) {
  sweep_.mutable_resources()->set_retry_delay(30);
  const std::unique_ptr<Life> life = live_with_order();
  const auto& replies = life->answers.replies;
  proto::CommitRequest commit = executed(std::get<proto::NextReply>(replies.at(2)));
  commit.set_manifest_hash("another");  // will be tried again, later; all others need it
  call(*life, 3, commit);
  EXPECT_TRUE(life->core->flush());
  const auto answer = std::get<proto::CommitReply>(replies.at(3));
  EXPECT_FALSE(answer.accepted());
  EXPECT_EQ(answer.next().order(), proto::NextReply::WAIT);
}

}  // namespace
}  // namespace finescale
