// SPDX-License-Identifier: Apache-2.0
#include "coordinator/sweep_changes.h"

#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/canonical.h"
#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kRandom = "search: {random: {trials: 3}}\n";

class SweepChangesTest : public SweepTest {
 protected:
  // What a user reads when `now` comes to a campaign that began with `before`; "" when it may.
  static std::string refused(const std::string& before, const std::string& now) {
    return message(before, now, refuse_changes);
  }
  static std::string refused_by_extend(const std::string& before, const std::string& now) {
    return message(before, now, refuse_all_but_additions);
  }

 private:
  static std::string message(const std::string& before, const std::string& now,
                             const std::function<void(const std::string&, const config::Sweep&,
                                                      const std::string&)>& check) {
    const std::string stored = canonical_text(load(before));
    try {
      check(stored, load(now), "runs/here");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      return describe(error);
    }
    return "";
  }
};

TEST_F(SweepChangesTest, TheSameSweepContinues) {
  EXPECT_EQ(refused(valid(), valid()), "");
  EXPECT_EQ(refused_by_extend(valid(), valid()), "");
}

TEST_F(SweepChangesTest, WhatChangesNoNumberMayDiffer) {
  const std::string now = valid() +
                          "resources: {gangs: 3}\nlaws: {bootstrap: 7}\n"
                          "costs: {per_example: 2}\nbudget: {examples: 9}\noutput: elsewhere\n";
  EXPECT_EQ(refused(valid(), now), "");
  EXPECT_EQ(refused_by_extend(valid(), now), "");
}

TEST_F(SweepChangesTest, FieldsThatDifferAreListedWithTheirPaths) {
  const std::string text = refused(valid(), with_line(9, "  max_length: 65"));
  EXPECT_THAT(text, HasSubstr("\n    - data.max_length: 64\n    + data.max_length: 65\n"));
  EXPECT_THAT(text, Not(HasSubstr("--extend")));
}

TEST_F(SweepChangesTest, AGrownSweepIsTakenByExtendAloneAndTheMessageSaysSo) {
  const std::string grown = with_line(16, "  seed: [1, 2, 3]");
  EXPECT_THAT(refused(valid(), grown),
              AllOf(HasSubstr("\n    + axes.seed: 3\n"), HasSubstr("--extend adds these trials")));
  EXPECT_EQ(refused_by_extend(valid(), grown), "");
}

TEST_F(SweepChangesTest, ARangeMayBecomeOneThatHoldsItsValues) {
  const std::string before =
      with_line(15, "  train.data_budget: {geometric: {from: 2, to: 8, points: 3}}");
  const std::string wider =
      with_line(15, "  train.data_budget: {geometric: {from: 2, to: 16, points: 4}}");
  EXPECT_EQ(refused_by_extend(before, wider), "");
  EXPECT_THAT(refused_by_extend(wider, before), HasSubstr("- axes.train.data_budget: 16"));
  EXPECT_EQ(refused_by_extend(before, with_line(15, "  train.data_budget: [8, 3, 4, 2]")), "");
}

TEST_F(SweepChangesTest, TheSameValuesWrittenOtherwiseAreTheSameSweep) {
  EXPECT_EQ(refused(valid(),
                    with_line(15, "  train.data_budget: {linear: {from: 5, to: 10, points: 2}}")),
            "");
  EXPECT_THAT(refused(valid(), with_line(16, "  seed: [2, 1]")), HasSubstr("the order of a list"));
}

TEST_F(SweepChangesTest, AnotherAxisIsAnAddition) {
  EXPECT_EQ(refused_by_extend(valid(), valid() + "  train.epochs: [1, 2]\n"), "");
}

TEST_F(SweepChangesTest, WhatIsRemovedOrAlteredIsRefused) {
  EXPECT_THAT(refused_by_extend(valid(), with_line(16, "  seed: [2, 3]")),
              AllOf(HasSubstr("- axes.seed: 1"), Not(HasSubstr("axes.seed: 2"))));
  EXPECT_THAT(refused_by_extend(valid(), with_line(16, "")), HasSubstr("- axes.seed"));
  EXPECT_THAT(
      refused_by_extend(valid(), with_line(12, "    - train: {method: full, learning_rate: 1e-3}")),
      HasSubstr("method"));
  EXPECT_THAT(refused_by_extend(valid(), with_line(1, "name: other")),
              HasSubstr("+ name: \"other\""));
  EXPECT_THAT(refused_by_extend(valid(), valid() + kRandom), HasSubstr("search"));
}

TEST_F(SweepChangesTest, ARandomSearchMayDrawMoreButNotFewer) {
  const std::string more = valid() + "search: {random: {trials: 4}}\n";
  EXPECT_EQ(refused_by_extend(valid() + kRandom, more), "");
  EXPECT_THAT(refused_by_extend(more, valid() + kRandom),
              HasSubstr("- search.random.trials: 4\n    + search.random.trials: 3"));
}

TEST_F(SweepChangesTest, ARandomSearchKeepsItsGrid) {
  for (const char* seeds : {"  seed: [1, 2, 3]", "  seed: [2, 1]"}) {
    EXPECT_THAT(refused_by_extend(valid() + kRandom, with_line(16, seeds) + kRandom),
                HasSubstr("only search.random.trials may grow"))
        << seeds;
  }
}

}  // namespace
}  // namespace finescale
