// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/report/axes.h"
#include "coordinator/report/csv_tables.h"
#include "coordinator/report/figures.h"
#include "coordinator/report/groups.h"
#include "coordinator/report/html.h"
#include "tests/report/report_fixture.h"
#include "tests/report/xml_check.h"

namespace finescale {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> labels(const AxisScale& scale, int max_labels) {
  std::vector<std::string> out;
  for (const AxisTick& tick : scale.ticks(max_labels, TickText::kNumber)) {
    if (!tick.label.empty()) {
      out.push_back(tick.label);
    }
  }
  return out;
}

TEST(TypesetNumber, ReadsAsPeopleWrite) {
  EXPECT_EQ(typeset_number(0.53271, 4), "0.5327");
  EXPECT_EQ(typeset_number(2, 4), "2");
  EXPECT_EQ(typeset_number(12800, 3), "12,800");
  EXPECT_EQ(typeset_number(-1234.5, 5),
            "\xE2\x88\x92"
            "1,234.5");
  EXPECT_EQ(typeset_number(2.1e13, 3),
            "2.1\xC2\xA0\xC3\x97\xC2\xA0"
            "10\xC2\xB9\xC2\xB3");
  EXPECT_EQ(typeset_number(1e-5, 3), "10\xE2\x81\xBB\xE2\x81\xB5");
  EXPECT_EQ(typeset_number(0.0009996, 3), "0.001");
  EXPECT_EQ(typeset_number(0, 3), "0");
  EXPECT_EQ(typeset_number(INFINITY, 3), "\xE2\x88\x9E");
  EXPECT_EQ(typeset_number(NAN, 3), "not a number");
  EXPECT_EQ(typeset_count(1234567), "1,234,567");
  EXPECT_EQ(typeset_count(999), "999");
  EXPECT_EQ(typeset_estimate(34887993), "34,900,000");
  EXPECT_EQ(typeset_estimate(12847), "12,800");
  EXPECT_EQ(typeset_estimate(999), "999");
  EXPECT_EQ(typeset_count_interval({3791, std::numeric_limits<double>::infinity()}),
            "3,790 to \xE2\x88\x9E");
  EXPECT_EQ(typeset_fixed(1234.5678, 2), "1,234.57");
}

TEST(TypesetDuration, PicksTheUnit) {
  EXPECT_EQ(typeset_duration(2.345), "2.3\xC2\xA0s");
  EXPECT_EQ(typeset_duration(125), "2\xC2\xA0min 5\xC2\xA0s");
  EXPECT_EQ(typeset_duration(1140), "19\xC2\xA0min");
  EXPECT_EQ(typeset_duration(8000), "2\xC2\xA0h 13\xC2\xA0min");
}

TEST(HtmlEscape, KeepsCharactersAndReplacesTheRest) {
  EXPECT_EQ(html_escape("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
  EXPECT_EQ(html_escape("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"),
            "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(html_escape("\xC3"), bad);                      // cut off
  EXPECT_EQ(html_escape("\xC0\xAF"), bad + bad);            // overlong
  EXPECT_EQ(html_escape("\xED\xA0\x80"), bad + bad + bad);  // a surrogate
  EXPECT_EQ(html_escape(std::string_view("\0\n", 2)), bad + "\n");
}

TEST(ShortenedText, NeverCutsACharacter) {
  EXPECT_EQ(shortened_text("abc", 3), "abc");
  EXPECT_EQ(shortened_text("abcd", 3), "ab\xE2\x80\xA6");
  EXPECT_EQ(shortened_text("\xC3\xA9\xC3\xA9\xC3\xA9", 2), "\xC3\xA9\xE2\x80\xA6");
}

TEST(AxisScale, LogarithmicTicksAreRoundNumbers) {
  AxisScale scale = AxisScale::covering({100, 12800});
  EXPECT_TRUE(scale.is_log());
  EXPECT_THAT(labels(scale, 11), ElementsAre("100", "300", "1,000", "3,000", "10,000"));
  EXPECT_THAT(labels(AxisScale::covering({1e9, 1e15}), 8),
              ElementsAre("10\xE2\x81\xB9", "10\xC2\xB9\xE2\x81\xB0", "10\xC2\xB9\xC2\xB9",
                          "10\xC2\xB9\xC2\xB2", "10\xC2\xB9\xC2\xB3", "10\xC2\xB9\xE2\x81\xB4",
                          "10\xC2\xB9\xE2\x81\xB5"));
}

TEST(AxisScale, NarrowRangesStillHaveLabels) {
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{
           {3.968, 4.301}, {2, 2}, {0.9999, 1.0001}, {1e-7, 3e-7}, {4.99, 5.01}, {17, 1e12}}) {
    const AxisScale scale = AxisScale::covering({low, high});
    const std::vector<std::string> found = labels(scale, 8);
    EXPECT_GE(found.size(), 2U) << low << " " << high;
    EXPECT_LE(found.size(), 9U) << low << " " << high;
    EXPECT_EQ(std::set<std::string>(found.begin(), found.end()).size(), found.size())
        << low << " " << high;
  }
}

TEST(AxisScale, IsLinearWhereALogarithmIsNot) {
  AxisScale scale = AxisScale::covering({0, 10}, 0);
  EXPECT_FALSE(scale.is_log());
  scale.set_range(100, 200);
  EXPECT_DOUBLE_EQ(scale(0), 100);
  EXPECT_DOUBLE_EQ(scale(5), 150);
  AxisScale log_scale = AxisScale::covering({1, 100}, 0);
  log_scale.set_range(0, 1);
  EXPECT_NEAR(log_scale(10), 0.5, 1e-12);
}

TEST(EndLabels, DoNotOverlap) {
  SvgPicture picture("p", 100, 100, "t", "d");
  draw_end_labels(picture, 50, 0, 100,
                  {{40, 98, "a", "s0", 0},
                   {40, 97, "b", "s1", 1},
                   {40, 20, "c", "s2", 2},
                   {40, 21, "d", "s3", 3},
                   {40, -300, "e", "s4", 4}});
  const std::string svg = picture.finish();
  EXPECT_EQ(XmlCheck(svg).fault(), "");
  std::vector<double> heights;
  for (std::size_t at = 0; (at = svg.find("<text", at)) != std::string::npos; ++at) {
    heights.push_back(std::stod(svg.substr(svg.find(" y=\"", at) + 4)));
  }
  ASSERT_EQ(heights.size(), 5U);
  std::sort(heights.begin(), heights.end());
  for (std::size_t i = 1; i < heights.size(); ++i) {
    EXPECT_GE(heights[i] - heights[i - 1], 17.9);
  }
  EXPECT_LE(heights.back(), 105);
}

TEST(RowGroup, IsTheAxesWithoutBudgetAndSeed) {
  TrialRow row;
  row.axes = {{"seed", "2"}, {"train.data_budget", "100"}};
  EXPECT_EQ(row_group(row, "data_budget"), "all");
  row.axes["train.method"] = "{lora: {rank: 8, alpha: 16}}";
  EXPECT_EQ(row_group(row, "data_budget"), "lora rank 8, alpha 16");
  row.axes["train.epochs"] = "2";
  EXPECT_EQ(row_group(row, "data_budget"), "2, lora rank 8, alpha 16");
  EXPECT_EQ(row_x(row, "data_budget"), 100);
  EXPECT_EQ(row_x(row, "other"), std::nullopt);
}

TEST(AxisValueText, KeepsTheBracesThatSaySomething) {
  EXPECT_EQ(axis_value_text("{full: {}}"), "full");
  EXPECT_EQ(axis_value_text("{selective: {parameters: [q_proj, v_proj], layers: [1]}}"),
            "selective parameters [q_proj, v_proj], layers [1]");
  EXPECT_EQ(axis_value_text("{batch: {tokens: 4096}, schedule: {wsd: {decay: 0.2}}}"),
            "batch {tokens 4096}, schedule wsd decay 0.2");
  EXPECT_EQ(axis_value_text("[{mix: {parts: {a: 1}}}, {k_shot: {shots: 2}}]"),
            "[{mix {parts {a 1}}}, {k_shot {shots 2}}]");
  EXPECT_EQ(axis_value_text("{template: {prompt: \"Q: {prompt} \\\"A\\\":\"}}"),
            "template prompt Q: {prompt} \"A\":");
}

TEST(WrappedText, BreaksBetweenWords) {
  EXPECT_THAT(wrapped_text("lora rank 8", 22, 3), ElementsAre("lora rank 8"));
  EXPECT_THAT(wrapped_text("selective parameters [q_proj, v_proj], layers [1, 2]", 22, 4),
              ElementsAre("selective parameters", "[q_proj, v_proj],", "layers [1, 2]"));
  EXPECT_THAT(wrapped_text("abcdefgh ij", 5, 3), ElementsAre("abcde", "fgh", "ij"));
  EXPECT_THAT(wrapped_text("one two three", 5, 2), ElementsAre("one", "two \xE2\x80\xA6"));
}

TEST(EndLabels, LongNamesTakeLines) {
  SvgPicture picture("p", 400, 200, "t", "d");
  const std::string name = "selective parameters [q_proj, v_proj], layers [1, 2]";
  draw_end_labels(picture, 150, 0, 180, {{40, 20, name, "s0", 0}, {40, 22, name, "s1", 1}});
  const std::string svg = picture.finish();
  EXPECT_EQ(XmlCheck(svg).fault(), "");
  std::vector<double> heights;
  for (std::size_t at = 0; (at = svg.find("<text", at)) != std::string::npos; ++at) {
    heights.push_back(std::stod(svg.substr(svg.find(" y=\"", at) + 4)));
  }
  ASSERT_EQ(heights.size(), 6U);  // nothing was cut
  EXPECT_TRUE(std::is_sorted(heights.begin(), heights.end()));
  EXPECT_GE(heights[3] - heights[2], 17.9);
  EXPECT_EQ(svg.find("\xE2\x80\xA6"), std::string::npos);
}

TEST(BudgetMeans, AreOverSeeds) {
  const ReportInput input = fixture_input();
  const ReportData data = make_report_data(input);
  ASSERT_EQ(data.groups.size(), 2U);
  const BudgetMean& mean = data.groups[0].means[0];
  EXPECT_EQ(mean.n, 3);
  EXPECT_NEAR(mean.mean, 3.144, 1e-12);
  EXPECT_NEAR(mean.half_range, 0.134, 1e-12);
  EXPECT_EQ(data.groups[0].means.size(), 8U);
  EXPECT_EQ(data.num_tuning, 8);
  EXPECT_EQ(data.base_value, 9.38);
}

// The mark is where the trials are, whatever the metric of the page says; seeds are averaged.
TEST(TuningFigure, MarksTheValueThatWasTaken) {
  ReportInput input = fixture_input();
  for (TrialRow& row : input.rows) {
    const bool is_full = row.axes.at("train.method") == fixture_methods()[0].axis;
    if (is_full && !row.is_tuning) {
      row.tuned["train.learning_rate"] = "0.0015";
    }
  }
  TrialRow again = fixture_tuning_rows()[1];  // 0.0015 with another seed
  again.axes["seed"] = "2";
  again.metrics["held_out.loss"] += 0.5;
  input.rows.push_back(again);
  const Figure figure = make_tuning_figure(make_report_data(input));
  EXPECT_THAT(figure.caption_html, HasSubstr("<b>full</b> 0.0015 (4 tried)"));
  EXPECT_THAT(figure.caption_html, HasSubstr("0.008 (4 tried), which lies <em>at the edge"));
  EXPECT_THAT(figure.svg, HasSubstr("full at 0.0015: 2.17"));
}

TEST(TuningFigure, AValueOfWhichASeedFailedIsNone) {
  ReportInput input = fixture_input();
  TrialRow failed = fixture_tuning_rows()[0];
  failed.metrics.clear();
  failed.axes["seed"] = "2";
  input.rows.push_back(failed);
  const Figure figure = make_tuning_figure(make_report_data(input));
  EXPECT_THAT(figure.caption_html, HasSubstr("(3 tried)"));
  EXPECT_THAT(figure.caption_html, HasSubstr("1 tuning trial gave no value"));
}

TEST(Csv, QuotesAndReadsBackEqual) {
  ReportInput input = fixture_input();
  input.rows.back().why = "a, \"b\"\nc";
  input.rows[10].metrics["held_out.loss"] = 1.0 / 3;
  const std::string csv = trials_csv(make_report_data(input));
  EXPECT_THAT(csv, HasSubstr("\"a, \"\"b\"\"\nc\""));
  EXPECT_THAT(csv, HasSubstr("0.33333333333333331"));
  EXPECT_EQ(csv.substr(0, csv.find('\n')),
            "trial,state,is_tuning,group,seed,train.data_budget,train.method,tuned:train.learning_"
            "rate,held_out.exact_match,held_out.loss,tokens,train_flops,seconds,why");
  EXPECT_THAT(fits_csv(make_report_data(input)),
              HasSubstr("full,rectified,1,8,beta,0.73209999999999997,0.70099999999999996"));
}

}  // namespace
}  // namespace finescale
