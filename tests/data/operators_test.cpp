// SPDX-License-Identifier: Apache-2.0
// Operators and mixtures against results made by hand; what is drawn depends on the seed alone.
#include "worker/data/operators/operator.h"

#include <algorithm>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/parse.h"
#include "core/error.h"
#include "worker/data/operators/bm25.h"
#include "worker/data/operators/mixture.h"
#include "worker/data/reader.h"
#include "worker/data/recipe.h"

namespace finescale {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<Row> numbered(int count) {
  std::vector<Row> rows;
  for (int i = 0; i < count; ++i) {
    rows.push_back({{"prompt", "p" + std::to_string(i)},
                    {"response", std::string(static_cast<std::size_t>(i % 3 + 1), 'x')},
                    {"quality", (i * 7) % 10}});
  }
  return rows;
}

std::vector<Row> applied(const std::string& yaml, std::vector<Row> rows,
                         OperatorContext context = {}) {
  config::Operator config;
  parse_yaml(yaml, "test.yaml", config);
  context.where = context.where.empty() ? "here" : context.where;
  make_operator(config)->apply(rows, context);
  return rows;
}

std::vector<std::string> column(const std::vector<Row>& rows, const std::string& name = "prompt") {
  std::vector<std::string> values;
  for (const Row& row : rows) {
    values.push_back(text_of(row, name, "test"));
  }
  return values;
}

std::string error_of(const std::string& yaml, const std::vector<Row>& rows) {
  try {
    (void)applied(yaml, rows);
  } catch (const Error& error) {
    return error.where() + ": " + error.message();
  }
  return "";
}

TEST(Operators, FilterTakesAllItsConditions) {
  const std::vector<Row> rows = numbered(6);  // qualities 0 7 4 1 8 5
  EXPECT_THAT(column(applied("filter: {column: quality, min: 4, max: 7}", rows)),
              ElementsAre("p1", "p2", "p5"));
  EXPECT_THAT(column(applied("filter: {column: quality, min: 4, max: 7, others: true}", rows)),
              ElementsAre("p0", "p3", "p4"));
  EXPECT_THAT(column(applied("filter: {is: [p1, p9]}", rows)), ElementsAre("p1"));
  EXPECT_THAT(column(applied("filter: {matches: '[0-2]$'}", rows)), ElementsAre("p0", "p1", "p2"));
  EXPECT_THAT(column(applied("filter: {column: response, min: 3}", rows)), ElementsAre("p2", "p5"));
  std::vector<Row> tagged = numbered(2);
  tagged[0]["tags"] = {"a", "b"};
  tagged[1]["tags"] = {"c"};
  EXPECT_THAT(column(applied("filter: {column: tags, is: b}", tagged)), ElementsAre("p0"));
  EXPECT_EQ(error_of("filter: {matches: '('}", rows),
            "here: matches is no regular expression: missing closing parenthesis at offset 1");
  EXPECT_EQ(error_of("filter: {column: source, is: a}", rows),
            "here: an example has no column source");
}

TEST(Operators, SamplesAreNestedAndKeepTheOrder) {
  const std::vector<Row> rows = numbered(40);
  const auto few = column(applied("sample: 5", rows));
  const auto more = column(applied("sample: {fraction: 0.5}", rows));
  EXPECT_EQ(few.size(), 5U);
  EXPECT_EQ(more.size(), 20U);
  EXPECT_TRUE(std::includes(more.begin(), more.end(), few.begin(), few.end()) ||
              std::all_of(few.begin(), few.end(), [&](const std::string& one) {
                return std::find(more.begin(), more.end(), one) != more.end();
              }));
  OperatorContext other;
  other.seed = 2;
  EXPECT_NE(column(applied("sample: 5", rows, other)), few);
  EXPECT_EQ(column(applied("sample: 5", rows)), few);
  EXPECT_EQ(error_of("sample: 41", rows), "here: examples is 41, but there are only 40");
  EXPECT_EQ(applied("sample: {examples: 100, replace: true}", rows).size(), 100U);
}

TEST(Operators, WeightsSayHowOftenARowIsDrawn) {
  std::vector<Row> rows = numbered(2);
  rows[0]["weight"] = 3;
  rows[1]["weight"] = 1;
  int first = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    OperatorContext context;
    context.seed = seed;
    first += column(applied("sample: {examples: 1, weight: weight}", rows, context)) ==
                     std::vector<std::string>{"p0"}
                 ? 1
                 : 0;
  }
  EXPECT_NEAR(first, 300, 35);  // four deviations
  rows[0]["weight"] = 0;
  EXPECT_THAT(column(applied("sample: {examples: 1, weight: weight}", rows)), ElementsAre("p1"));
  EXPECT_EQ(error_of("sample: {examples: 2, weight: weight}", rows),
            "here: 2 examples are wanted, but only 1 have a weight above 0");
}

TEST(Operators, DedupeKeepsTheFirst) {
  std::vector<Row> rows = numbered(3);
  rows.push_back(rows[1]);
  rows.push_back({{"prompt", " P2 "}, {"response", "XXX"}});
  EXPECT_THAT(column(applied("dedupe: {}", rows)), ElementsAre("p0", "p1", "p2", " P2 "));
  EXPECT_THAT(column(applied("dedupe: {loose: true}", rows)), ElementsAre("p0", "p1", "p2"));
  EXPECT_EQ(applied("dedupe: [response]", numbered(9)).size(), 3U);
}

TEST(Operators, CorruptSpoilsExactlyThePart) {
  for (const char* how : {"swap", "characters", "words"}) {
    std::vector<Row> rows = numbered(30);
    for (int i = 0; i < 30; ++i) {
      rows[static_cast<std::size_t>(i)]["response"] = "a b c d e f " + std::to_string(i);
    }
    const auto before = column(rows, "response");
    const auto spoilt = applied(std::string("corrupt: {fraction: 0.3, how: ") + how + "}", rows);
    int changed = 0;
    for (std::size_t i = 0; i < spoilt.size(); ++i) {
      const bool is_marked = spoilt[i].contains("corrupted");
      changed += is_marked ? 1 : 0;
      if (!is_marked) {
        EXPECT_EQ(text_of(spoilt[i], "response", ""), before[i]);
      } else {
        EXPECT_NE(text_of(spoilt[i], "response", ""), before[i]) << how;
      }
    }
    EXPECT_EQ(changed, 9) << how;
  }
}

// A control that is not spoilt would be the arm it is compared with.
TEST(Operators, WhatCannotBeSpoiltIsRefused) {
  std::vector<Row> rows = numbered(20);
  for (Row& row : rows) {
    row["response"] = "yes no";  // one of two orders
  }
  for (const Row& row : applied("corrupt: {fraction: 1, how: words}", rows)) {
    EXPECT_EQ(text_of(row, "response", ""), "no yes");
  }
  rows[7]["response"] = "3*4=5;5+1=6";
  EXPECT_EQ(error_of("corrupt: {fraction: 1, how: words}", rows),
            "here: corrupt: '3*4=5;5+1=6' has no two different words to exchange; take another "
            "'how'");
  rows[7]["response"] = "\xd0\xb4\xd0\xb0";
  EXPECT_EQ(error_of("corrupt: {fraction: 1, how: characters}", rows),
            "here: corrupt: '\xd0\xb4\xd0\xb0' has no ASCII letter to replace; take another 'how'");
}

TEST(Operators, WrongResponsesAreTheTasks) {
  config::Task config;
  config.mutable_edit()->set_length(3);
  const auto task = make_task(config);
  OperatorContext context;
  context.task = task.get();
  const std::vector<Row> rows = {
      {{"prompt", "Q reverse: abc"}, {"response", "cba"}, {"problem", "reverse: abc"}}};
  const auto spoilt = applied("corrupt: {fraction: 1, how: wrong}", rows, context);
  EXPECT_EQ(task->verify("reverse: abc", text_of(spoilt[0], "response", "")),
            Verdict::kAnswerError);
}

TEST(Operators, RelabelReplacesKeepsDropsOrRefuses) {
  const std::vector<Row> rows = numbered(3);  // x xx xxx
  EXPECT_THAT(column(applied("relabel: {values: {x: one, xx: two}}", rows), "response"),
              ElementsAre("one", "two", "xxx"));
  EXPECT_THAT(column(applied("relabel: {values: {x: one}, others: drop}", rows), "response"),
              ElementsAre("one"));
  EXPECT_EQ(error_of("relabel: {values: {x: one}, others: error}", rows),
            "here: no new value for xx");
}

TEST(Operators, TemplatesReadTheRowAsItWas) {
  const auto rows = applied(
      R"(template: {prompt: "{{{response}}} {prompt}", response: "{prompt}"})", numbered(1));
  EXPECT_EQ(text_of(rows[0], "prompt", ""), "{x} p0");
  EXPECT_EQ(text_of(rows[0], "response", ""), "p0");
  EXPECT_EQ(text_of(rows[0], "problem", ""), "p0");  // what a verifier reads
  const auto text = applied(R"(template: {text: "{prompt}!"})", numbered(1));
  EXPECT_EQ(raw_example(Row(text[0])).form, ExampleForm::kText);
}

TEST(Operators, ShotsStandInFrontAndNeverAnswerTheQuestion) {
  const std::vector<Row> rows = numbered(6);
  const auto fixed =
      column(applied(R"(k_shot: {examples: 2, shot: "{prompt}={response};"})", rows));
  for (std::size_t i = 0; i < fixed.size(); ++i) {
    EXPECT_EQ(std::count(fixed[i].begin(), fixed[i].end(), ';'), 2) << fixed[i];
    EXPECT_TRUE(fixed[i].ends_with("p" + std::to_string(i)));
    EXPECT_THAT(fixed[i], ::testing::Not(HasSubstr("p" + std::to_string(i) + "=")));
  }
  const auto drawn = column(
      applied(R"(k_shot: {examples: 2, choose: random, shot: "{prompt}={response};"})", rows));
  EXPECT_GT(std::set<std::string>(drawn.begin(), drawn.end()).size(), 3U);
  EXPECT_EQ(error_of("k_shot: 6", rows),
            "here: examples is 6, but there are only 5 with another prompt");
}

TEST(Operators, LikeShotsShareWords) {
  const std::vector<Row> pool = {{{"prompt", "the cat sat"}, {"response", "a"}},
                                 {{"prompt", "the dog ran far"}, {"response", "b"}},
                                 {{"prompt", "a Cat and a dog"}, {"response", "c"}}};
  OperatorContext context;
  context.other = &pool;
  const auto rows =
      applied(R"(k_shot: {examples: 2, choose: bm25, data: pool, shot: "{response}"})",
              {{{"prompt", "cat"}, {"response", "z"}}}, context);
  EXPECT_EQ(text_of(rows[0], "prompt", ""), "c\na\ncat");  // the shorter text is likelier, and last
}

// Against the formula: idf ln(1 + (N - n + 0.5) / (n + 0.5)), k1 = 1.2, b = 0.75.
TEST(Bm25, IsTheFormula) {
  const Bm25 index({"a b", "a a c d"});
  const std::vector<double> scores = index.scores("a d");
  const double idf_a = std::log(1 + 0.5 / 2.5);
  const double idf_d = std::log(1 + 1.5 / 1.5);
  const auto term = [](double idf, double count, double length) {
    return idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / 3));
  };
  EXPECT_NEAR(scores[0], term(idf_a, 1, 2), 1e-12);
  EXPECT_NEAR(scores[1], term(idf_a, 2, 4) + term(idf_d, 1, 4), 1e-12);
}

TEST(Operators, RankSortsAndTopTakes) {
  const std::vector<Row> rows = numbered(6);  // qualities 0 7 4 1 8 5
  EXPECT_THAT(column(applied("top: 2", applied("rank: {by: quality, order: descending}", rows))),
              ElementsAre("p4", "p1"));
  EXPECT_THAT(column(applied("rank: bytes(response)", rows)),
              ElementsAre("p0", "p3", "p1", "p4", "p2", "p5"));
  EXPECT_EQ(applied("top: {fraction: 0.5}", rows).size(), 3U);
  EXPECT_EQ(error_of("top: 7", rows), "here: examples is 7, but there are only 6");
}

TEST(Operators, JoinLooksUp) {
  const std::vector<Row> other = {{{"prompt", "p1"}, {"rationale", "r1"}},
                                  {{"prompt", "p1"}, {"rationale", "r2"}},
                                  {{"prompt", "p2"}, {"rationale", "r3"}}};
  OperatorContext context;
  context.other = &other;
  const std::vector<Row> rows = numbered(3);
  const auto joined = applied("join: other", rows, context);
  EXPECT_THAT(column(joined), ElementsAre("p1", "p2"));
  EXPECT_THAT(column(joined, "rationale"), ElementsAre("r1", "r3"));
  EXPECT_EQ(applied("join: {data: other, many: true}", rows, context).size(), 3U);
  EXPECT_EQ(applied("join: {data: other, others: keep}", rows, context).size(), 3U);
  EXPECT_THROW((void)applied("join: {data: other, others: error}", rows, context), Error);
}

std::vector<Row> named(const std::string& prefix, int count) {
  std::vector<Row> rows = numbered(count);
  for (int i = 0; i < count; ++i) {
    rows[static_cast<std::size_t>(i)]["prompt"] = prefix + std::to_string(i);
  }
  return rows;
}

std::map<std::string, int> sources(const std::vector<Row>& rows) {
  std::map<std::string, int> counts;
  for (const Row& row : rows) {
    ++counts[text_of(row, "source", "")];
  }
  return counts;
}

config::Mixture mixture(const std::string& yaml) {
  config::Mixture out;
  parse_yaml(yaml, "test.yaml", out);
  return out;
}

TEST(Mixtures, EveryBeginningHasTheRatios) {
  const config::Mixture config = mixture("{parts: {a: 3, b: 1}, examples: 40}");
  const auto rows = mixed(config, {named("a", 30), named("b", 12)}, 1, "here");
  ASSERT_EQ(rows.size(), 40U);
  for (std::size_t n = 1; n <= rows.size(); ++n) {
    const auto counts = sources({rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(n)});
    const double expected = 0.75 * static_cast<double>(n);
    EXPECT_NEAR(counts.contains("a") ? counts.at("a") : 0, expected, 1);
  }
  std::set<std::string> different;
  for (const Row& row : rows) {
    different.insert(text_of(row, "prompt", ""));
  }
  EXPECT_EQ(different.size(), 40U);  // nothing twice
}

TEST(Mixtures, PartsCarryTheirWeightInTheLoss) {
  const auto rows = mixed(mixture("{parts: {a: {ratio: 1, loss_weight: 0.5}, b: 1}}"),
                          {named("a", 5), named("b", 5)}, 1, "here");
  for (const Row& row : rows) {
    const bool is_a = text_of(row, "source", "") == "a";
    EXPECT_EQ(row.contains("loss_weight"), is_a);
    EXPECT_EQ(row.value("loss_weight", 1.0), is_a ? 0.5 : 1);
  }
  const auto nested = mixed(mixture("{parts: {all: {ratio: 1, loss_weight: 4}}}"), {rows}, 1, "");
  for (const Row& row : nested) {  // the product
    const double weight = number_of(row, "loss_weight", "");
    EXPECT_TRUE(weight == 2 || weight == 4);
  }
}

TEST(Mixtures, EndWithTheFirstPartThatIsUsedUp) {
  const auto rows =
      mixed(mixture("{parts: {a: 1, b: 1}}"), {named("a", 5), named("b", 50)}, 1, "here");
  EXPECT_EQ(sources(rows).at("a"), 5);
  EXPECT_LE(std::abs(sources(rows).at("b") - 5), 1);
}

TEST(Mixtures, CapsAndRepeats) {
  const auto rows = mixed(mixture("{parts: {a: {ratio: 1, cap: 3, repeat: true}, b: 1}}"),
                          {named("a", 30), named("b", 10)}, 1, "here");
  std::set<std::string> of_a;
  for (const Row& row : rows) {
    if (text_of(row, "source", "") == "a") {
      of_a.insert(text_of(row, "prompt", ""));
    }
  }
  EXPECT_EQ(of_a.size(), 3U);
  EXPECT_GE(sources(rows).at("a"), 9);
  try {
    (void)mixed(mixture("{parts: {a: 1, b: 1}, examples: 30}"), {named("a", 10), named("b", 30)}, 1,
                "here");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "mix.examples is 30, but a has only 10 examples for its ratio");
  }
}

TEST(Mixtures, ReplayIsAPartOfTheWhole) {
  const auto rows = mixed(mixture("{parts: {new: 1}, replay: {data: old, fraction: 0.25}}"),
                          {named("n", 30), named("o", 4)}, 1, "here");
  EXPECT_EQ(sources(rows).at("new"), 30);
  EXPECT_NEAR(sources(rows).at("old"), 10, 1);
}

config::DatasetRef chain_recipe(std::int64_t seed) {
  config::DatasetRef ref;
  config::DatasetRef& leaf = *ref.add_inputs();
  leaf.mutable_task()->mutable_chain();
  leaf.mutable_task()->set_examples(60);
  parse_yaml("{sample: 30}", "test.yaml", *ref.add_apply());
  parse_yaml("{k_shot: {examples: 2, choose: random}}", "test.yaml", *ref.add_apply());
  parse_yaml("{corrupt: 0.5}", "test.yaml", *ref.add_apply());
  ref.set_draw_seed(seed);
  *ref.mutable_task() = leaf.task();
  ref.set_label("data.sets.x");
  return ref;
}

TEST(Recipes, AreTheSameWheneverTheyAreMade) {
  const auto once = make_rows(chain_recipe(1), config::ON_BAD_EXAMPLE_ERROR);
  const auto again = make_rows(chain_recipe(1), config::ON_BAD_EXAMPLE_ERROR);
  EXPECT_EQ(once.rows, again.rows);
  EXPECT_NE(once.rows, make_rows(chain_recipe(2), config::ON_BAD_EXAMPLE_ERROR).rows);
  EXPECT_EQ(once.story, "task chain 60, sample 30, k_shot 30, corrupt 30");
}

TEST(Recipes, AreReadAsAnyData) {
  std::vector<RawExample> examples;
  const ReadSummary read = read_examples(
      chain_recipe(1), config::ON_BAD_EXAMPLE_ERROR,
      [&](RawExample&& example, const std::string&) { examples.push_back(std::move(example)); });
  ASSERT_EQ(examples.size(), 30U);
  EXPECT_EQ(read.formats, "task chain 60, sample 30, k_shot 30, corrupt 30");
  EXPECT_EQ(std::count(examples[0].prompt.begin(), examples[0].prompt.end(), '\n'), 2);
  EXPECT_FALSE(examples[0].problem.empty());
  EXPECT_TRUE(examples[0].prompt.ends_with(examples[0].problem));
}

TEST(Recipes, SayWhereTheyFail) {
  config::DatasetRef ref = chain_recipe(1);
  parse_yaml("{top: 31}", "test.yaml", *ref.add_apply());
  try {
    (void)make_rows(ref, config::ON_BAD_EXAMPLE_ERROR);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), "data.sets.x.apply[3].top");
    EXPECT_EQ(error.message(), "examples is 31, but there are only 30");
  }
}

}  // namespace
}  // namespace finescale
