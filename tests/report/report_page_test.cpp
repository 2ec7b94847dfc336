// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <regex>
#include <set>

#include <gtest/gtest.h>

#include "coordinator/report/report.h"
#include "core/files.h"
#include "tests/report/report_fixture.h"
#include "tests/report/xml_check.h"

namespace finescale {
namespace {

// Instead of a matcher, which would print the whole page when it fails.
bool holds(const std::string& text, const std::string& what) {
  return text.find(what) != std::string::npos;
}

int count_of(const std::string& text, const std::string& what) {
  int count = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) {
    ++count;
  }
  return count;
}

TEST(XmlCheck, FindsWhatIsNotXml) {
  EXPECT_EQ(XmlCheck("<a b=\"c\"><d/>x &amp; y</a>").fault(), "");
  for (const char* bad : {"<a>", "<a></b>", "<a b=c/>", "<a>&nbsp;</a>", "<a b=\"1\" b=\"2\"/>",
                          "a < b", "<a>\x01</a>", "<a"}) {
    EXPECT_NE(XmlCheck(bad).fault(), "") << bad;
  }
}

TEST(ReportPage, PicturesAreWellFormedXml) {
  const std::vector<std::string> svgs = svgs_of(report_html(fixture_input()));
  ASSERT_EQ(svgs.size(), 4U);
  for (const std::string& svg : svgs) {
    EXPECT_EQ(XmlCheck(svg).fault(), "");
    EXPECT_TRUE(holds(svg, "<title id=")) << "<title id=";
    EXPECT_TRUE(holds(svg, "<desc id=")) << "<desc id=";
    EXPECT_FALSE(holds(svg, "nan")) << "nan";
    EXPECT_FALSE(holds(svg, "style=")) << "style=";  // colours come from classes only
    EXPECT_FALSE(holds(svg, "fill=\"")) << "fill=\"";
  }
}

TEST(ReportPage, ContrastsAreATableAndAPicture) {
  ReportInput input = fixture_input();
  input.claim = "a < b";
  input.work = "Less (Nobody 2020)";
  input.notes = {"one < two"};
  ContrastData difference;
  difference.name = "less";
  difference.effects = {-0.1, -0.2, -0.15};
  difference.expects_more = false;
  ContrastData ratio = difference;
  ratio.is_ratio = true;
  ratio.bound = 1;
  ContrastData same = difference;
  same.is_equivalence = true;
  same.bound = 0.5;
  ContrastData empty;
  empty.name = "nothing";
  empty.why_not = "2 trials have no result";
  input.contrasts = decide({difference, ratio, same, empty});
  const std::string page = report_html(input);
  EXPECT_TRUE(holds(page, "a &lt; b"));
  EXPECT_TRUE(holds(page, "Verdict: undecided"));
  EXPECT_TRUE(holds(page, "Of 4 contrasts: "));
  EXPECT_TRUE(holds(page, "Less (Nobody 2020)"));
  EXPECT_TRUE(holds(page, "<li>one &lt; two</li>"));
  EXPECT_TRUE(holds(page, "2 trials have no result"));
  const std::vector<std::string> svgs = svgs_of(page);
  ASSERT_EQ(svgs.size(), 5U);
  for (const std::string& svg : svgs) {
    EXPECT_EQ(XmlCheck(svg).fault(), "");
    EXPECT_FALSE(holds(svg, "nan"));
  }
}

// The body without the style sheet is XML but for the doctype and void tags in the head.
TEST(ReportPage, BodyIsWellFormed) {
  std::string page = report_html(fixture_input());
  page = page.substr(page.find("<main>"));
  page = page.substr(0, page.find("</main>") + 7);
  for (std::size_t at; (at = page.find("<br>")) != std::string::npos;) {
    page.replace(at, 4, "<br/>");
  }
  EXPECT_EQ(XmlCheck(page).fault(), "");
}

TEST(ReportPage, IdsAreUnique) {
  const std::string page = report_html(fixture_input());
  std::set<std::string> ids;
  const std::regex pattern(" id=\"([^\"]+)\"");
  for (std::sregex_iterator it(page.begin(), page.end(), pattern), end; it != end; ++it) {
    EXPECT_TRUE(ids.insert((*it)[1]).second) << (*it)[1];
  }
  EXPECT_GE(ids.size(), 8U);
}

TEST(ReportPage, HoldsEveryNumber) {
  const std::string page = report_html(fixture_input());
  for (const FixtureMethod& method : fixture_methods()) {
    for (const double loss : method.loss) {
      char text[16];
      std::snprintf(text, sizeof text, "%.3f", loss);
      EXPECT_TRUE(holds(page, text)) << text;
    }
  }
  for (const char* text : {"\xC2\xB1 0.134 (3)",
                           "12,800",  // results
                           "512.5",
                           "148.2",
                           "0.0317",
                           "0.7321",
                           "[0.701, 0.766]",  // parameters and intervals
                           "E is at its bound 0",
                           "40%",
                           "4.1%",
                           "8.3%",
                           "19%",  // identifiable; errors
                           "4,321",
                           "3,990 to 4,770",
                           "12.5",
                           "0.97",  // answers
                           "410 to 905",
                           "83%",  // crossover
                           "120",
                           "93",
                           "22%",
                           "2.1\xC2\xA0\xC3\x97\xC2\xA0"
                           "10",  // accounting
                           "3,456,789",
                           "19\xC2\xA0min",
                           "at the edge of what was tried"}) {
    EXPECT_TRUE(holds(page, text)) << text;
  }
  EXPECT_TRUE(holds(page, "Use full fine-tuning.")) << "Use full fine-tuning.";
  EXPECT_TRUE(holds(page, "parametric bootstrap")) << "parametric bootstrap";
}

TEST(ReportPage, OnlyTheMeansOfHeldOutBudgetsAreHollow) {
  const std::string law = svgs_of(report_html(fixture_input())).front();
  EXPECT_EQ(count_of(law, "class=\"hollow\""), 3);  // one of each group and one in the key
  EXPECT_EQ(count_of(law, "class=\"cross\""), 3);
  EXPECT_EQ(count_of(law, "class=\"seed\""), 41);  // 40 runs and one in the key
  EXPECT_EQ(count_of(law, "class=\"crossover\""), 1);
}

TEST(ReportPage, IsSelfContained) {
  const std::string page = report_html(fixture_input());
  std::string without_namespace = page;
  for (std::size_t at;
       (at = without_namespace.find("http://www.w3.org/2000/svg")) != std::string::npos;) {
    without_namespace.erase(at, 26);
  }
  for (const char* reference :
       {"http:", "https:", "src=", "href=", "@import", "<script", "<link", "<iframe", "//cdn"}) {
    EXPECT_FALSE(holds(without_namespace, reference)) << reference;
  }
  EXPECT_EQ(count_of(page, "url("), count_of(page, "url(#"));
}

TEST(ReportPage, EscapesWhatPeopleAndModelsWrite) {
  ReportInput input = fixture_input();
  const std::string nasty = "<script>alert('x')</script>&\"\x01\xFF";
  input.campaign.name = nasty;
  input.campaign.machine = nasty;
  input.study.recommendation = nasty;
  input.study.notes = {nasty};
  for (TrialRow& row : input.rows) {
    row.axes["train.method"] = nasty;
    row.why = nasty;
    row.metrics[nasty] = 1;
    for (AnswerSample& sample : row.samples) {
      sample.answer = nasty;
    }
  }
  const std::string page = report_html(input);
  EXPECT_FALSE(holds(page, "<script")) << "<script";
  EXPECT_FALSE(holds(page, "\x01")) << "\x01";
  EXPECT_FALSE(holds(page, "\xFF")) << "\xFF";
  EXPECT_TRUE(holds(page, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"))
      << "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;";
  for (const std::string& svg : svgs_of(page)) {
    EXPECT_EQ(XmlCheck(svg).fault(), "");
  }
}

TEST(ReportPage, SaysWhatIsMissing) {
  ReportInput input;
  input.metric = "held_out.loss";
  input.no_study_reason = "no trial is done";
  const std::string page = report_html(input);
  EXPECT_TRUE(svgs_of(page).empty());
  for (const char* words : {"nothing to recommend", "No law was fitted: no trial is done",
                            "nothing to draw yet", "No finished trial has a value of held_out.loss",
                            "No costs were recorded", "learning curves cannot be drawn",
                            "No tuning was done", "No answers were recorded", "not recorded"}) {
    EXPECT_TRUE(holds(page, words)) << words;
  }
}

TEST(ReportPage, WithoutAStudyShowsTheMeasurements) {
  ReportInput input = fixture_input();
  input.study = {};
  input.no_study_reason = "2 budgets, 3 are needed";
  const std::string page = report_html(input);
  EXPECT_EQ(svgs_of(page).size(), 4U);
  EXPECT_TRUE(holds(page, "The lowest loss on held_out measured is 0.533"))
      << "The lowest loss on held_out measured is 0.533";
  EXPECT_TRUE(holds(page, "2 budgets, 3 are needed")) << "2 budgets, 3 are needed";
  EXPECT_TRUE(holds(page, "Lines join the means: no law was fitted."))
      << "Lines join the means: no law was fitted.";
}

TEST(ReportPage, OneSeedIsSaid) {
  ReportInput input = fixture_input();
  std::erase_if(input.rows,
                [](const TrialRow& row) { return row.axes.at("seed") != "1" && !row.is_tuning; });
  const std::string page = report_html(input);
  EXPECT_TRUE(holds(page, "the spread over seeds is not known"))
      << "the spread over seeds is not known";
  EXPECT_FALSE(holds(page, "\xC2\xB1")) << "\xC2\xB1";
}

TEST(ReportPage, FailedAndPendingTrialsAreListed) {
  ReportInput input = fixture_input();
  TrialRow pending;
  pending.trial = "t2000";
  pending.state = "pending";
  pending.axes = {{"train.data_budget", "25600"}, {"train.method", "{full: {}}"}};
  input.rows.push_back(pending);
  const std::string page = report_html(input);
  EXPECT_TRUE(holds(page, "t0999")) << "t0999";
  EXPECT_TRUE(holds(page, "infinite at step 41 &lt;nan&gt;")) << "infinite at step 41 &lt;nan&gt;";
  EXPECT_TRUE(holds(page, "40 of 42")) << "40 of 42";
  EXPECT_TRUE(holds(page, "1 trial still to come")) << "1 trial still to come";
}

TEST(ReportPage, SurvivesValuesThatAreNotFinite) {
  ReportInput input = fixture_input();
  const double infinity = std::numeric_limits<double>::infinity();
  input.rows[12].metrics["held_out.loss"] = std::nan("");
  input.rows[13].curve[5].loss = infinity;
  input.study.crossovers[0].interval.high = infinity;
  input.study.bands["full"].high[2] = infinity;
  input.study.held_out["full"][0].predicted = std::nan("");
  input.study.answers[0].interval->high = infinity;
  for (const std::string& svg : svgs_of(report_html(input))) {
    EXPECT_EQ(XmlCheck(svg).fault(), "");
    EXPECT_FALSE(holds(svg, "=\"nan")) << "=\"nan";
    EXPECT_FALSE(holds(svg, "=\"inf")) << "=\"inf";
  }
}

TEST(WriteReport, WritesThePageAndTheTables) {
  const std::string directory =
      (std::filesystem::temp_directory_path() / ("finescale_report_" + std::to_string(::getpid())))
          .string();
  const std::string page = write_report(fixture_input(), directory);
  EXPECT_EQ(page, directory + "/index.html");
  EXPECT_EQ(read_file(page), report_html(fixture_input()));
  for (const char* name : {"results.csv", "fits.csv", "curve.csv", "learning_curves.csv"}) {
    EXPECT_GT(count_of(read_file(directory + "/" + name), "\n"), 4) << name;
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace finescale
