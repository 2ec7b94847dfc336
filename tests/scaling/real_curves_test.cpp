// SPDX-License-Identifier: Apache-2.0
// Fits of published fine-tuning curves (30 models, 14 data sizes) against published misfits.
#include "tests/scaling/real_curves.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "coordinator/scaling/replicates.h"

namespace finescale {
namespace {

struct Task {
  const char* name;
  double rectified;     // mean RMSD of ln L of a multistart least-squares fit; published .00648,
                        // .01228
  double power_offset;  // the same of E + A / D^alpha
};
constexpr Task kTasks[] = {{"flan", 0.00640, 0.0349}, {"wmt19", 0.01159, 0.0585}};
// The reference figures are printed with this many digits.
constexpr double kHalfDigit = 5e-6;

double mean_rmsd(const std::vector<RealCurve>& curves, const char* form) {
  FitOptions options;
  options.least_squares = true;
  Fitter fitter(find_law(form), options);
  double sum = 0;
  for (const RealCurve& curve : curves) {
    sum += fitter.fit(make_law_table(curve.points)).rmsd;
  }
  return sum / static_cast<double>(curves.size());
}

TEST(RealCurves, RectifiedMisfitIsAtOrBelowTheReference) {
  for (const Task& task : kTasks) {
    const std::filesystem::path file = real_curves_file(task.name);
    if (file.empty()) {
      GTEST_SKIP() << "no data/finetuning-curves/" << task.name << ".csv; set FINESCALE_SHARED";
    }
    const std::vector<RealCurve> curves = read_real_curves(file);
    ASSERT_EQ(curves.size(), 30U);
    ASSERT_EQ(curves[0].points.size(), 14U);
    const double rectified = mean_rmsd(curves, "rectified");
    const double offset = mean_rmsd(curves, "power_offset");
    std::printf("%s: mean RMSD of ln L: rectified %.6f, power_offset %.6f\n", task.name, rectified,
                offset);
    EXPECT_LE(rectified, task.rectified + kHalfDigit);
    EXPECT_LE(offset, task.power_offset + 10 * kHalfDigit);
    EXPECT_GT(offset, 2 * rectified);
  }
}

TEST(RealCurves, SingleCurvesHaveTheReferenceParameters) {
  struct Known {
    const char *task, *model;
    double B, D_l, beta, E, rmsd;
  };
  // Log least squares, 200 to 1,638,400 examples.
  const Known known[] = {{"flan", "gpt2", 856.4, 260.7, .5005, 1.2423, .00747},
                         {"flan", "MBZUAI/LaMini-GPT-124M", 563.8, 166.1, .4553, 1.0692, .00270},
                         {"flan", "facebook/opt-6.7b", 3.376, 2.908, .1258, 1.3204, .00246},
                         {"wmt19", "gpt2", 1821.5, 754.9, .6505, .7810, .00889},
                         {"wmt19", "facebook/opt-6.7b", 106.1, 332.8, .5128, 1.6850, .00248}};
  for (const Known& one : known) {
    const std::filesystem::path file = real_curves_file(one.task);
    if (file.empty()) {
      GTEST_SKIP() << "no data/finetuning-curves/" << one.task << ".csv; set FINESCALE_SHARED";
    }
    bool found = false;
    for (const RealCurve& curve : read_real_curves(file)) {
      if (curve.model != one.model) {
        continue;
      }
      found = true;
      FitOptions options;
      options.least_squares = true;
      Fitter fitter(find_law("rectified"), options);
      const LawFitResult result = fitter.fit(make_law_table(curve.points));
      const std::vector<double> p = fitter.law().parameters(result.theta);  // E, B, D_l, beta
      EXPECT_NEAR(p[0] / one.E, 1, 1e-3) << one.task << " " << one.model;
      EXPECT_NEAR(p[1] / one.B, 1, 1e-3) << one.task << " " << one.model;
      EXPECT_NEAR(p[2] / one.D_l, 1, 1e-3) << one.task << " " << one.model;
      EXPECT_NEAR(p[3] / one.beta, 1, 1e-3) << one.task << " " << one.model;
      EXPECT_NEAR(result.rmsd, one.rmsd, 5e-6) << one.task << " " << one.model;
    }
    EXPECT_TRUE(found) << one.model;
  }
}

// The form must be chosen, not assumed, and the choice must extrapolate about as well as the better
// one: fitted up to 204,800 examples, asked for 1,638,400.
TEST(RealCurves, TheChosenFormExtrapolates) {
  for (const Task& task : kTasks) {
    const std::filesystem::path file = real_curves_file(task.name);
    if (file.empty()) {
      GTEST_SKIP() << "no data/finetuning-curves/" << task.name << ".csv; set FINESCALE_SHARED";
    }
    std::vector<std::vector<double>> errors(3);  // rectified, power_offset, chosen
    for (const RealCurve& curve : read_real_curves(file)) {
      std::vector<LawPoint> kept;
      for (const LawPoint& p : curve.points) {
        if (p.D <= 204800) {
          kept.push_back(p);
        }
      }
      const auto predict = [&](const std::vector<std::string>& forms) {
        FitOptions options;
        options.least_squares = true;
        const GroupStudy study = study_group(split_groups(kept)[0], forms, options, 0, 1, 0);
        const LawPoint& last = curve.points.back();
        return std::abs(curve_log_loss(study.chosen, last.D) - std::log(last.loss));
      };
      errors[0].push_back(predict({"rectified"}));
      errors[1].push_back(predict({"power_offset"}));
      errors[2].push_back(predict({"power", "power_offset", "rectified"}));
    }
    for (std::vector<double>& list : errors) {
      std::sort(list.begin(), list.end());
    }
    const auto median = [&](std::size_t k) { return 0.5 * (errors[k][14] + errors[k][15]); };
    std::printf(
        "%s: 8 times farther, median error of ln L: rectified %.3f, power_offset %.3f, "
        "chosen %.3f\n",
        task.name, median(0), median(1), median(2));
    EXPECT_LT(median(2), 1.25 * std::min(median(0), median(1)));
  }
}

struct ClosePipe {
  void operator()(std::FILE* pipe) const { pclose(pipe); }
};

std::string output_of(const std::string& command) {
  const std::unique_ptr<std::FILE, ClosePipe> pipe(popen(command.c_str(), "r"));
  std::string text;
  std::array<char, 4096> block{};
  while (pipe) {
    const std::size_t got = std::fread(block.data(), 1, block.size(), pipe.get());
    if (got == 0) {
      break;
    }
    text.append(block.data(), got);
  }
  return text;
}

// The whole way: a CSV table, the command, its JSON.
TEST(RealCurves, TheFitCommandGivesTheSame) {
  for (const Task& task : kTasks) {
    const std::filesystem::path file = real_curves_file(task.name);
    if (file.empty()) {
      GTEST_SKIP() << "no data/finetuning-curves/" << task.name << ".csv; set FINESCALE_SHARED";
    }
    const std::filesystem::path table =
        std::filesystem::path(testing::TempDir()) / (std::string(task.name) + "_curves.csv");
    const std::vector<RealCurve> curves = read_real_curves(file);
    {
      std::ofstream out(table);
      out.precision(17);
      out << "group,D,loss\n";
      for (const RealCurve& curve : curves) {
        for (const LawPoint& p : curve.points) {
          out << curve.model << "," << p.D << "," << p.loss << "\n";
        }
      }
    }
    const std::string text =
        output_of(std::string(FINESCALE_PROGRAM) + " fit --csv " + table.string() +
                  " --form rectified --loss least_squares --bootstrap 0 "
                  "--json");
    const auto document = nlohmann::json::parse(text);
    double sum = 0;
    for (const auto& fit : document.at("fits")) {
      EXPECT_EQ(fit.at("form"), "rectified");
      sum += fit.at("rmsd").get<double>();
    }
    ASSERT_EQ(document.at("fits").size(), 30U);
    std::printf("%s: finescale fit: mean RMSD %.6f\n", task.name, sum / 30);
    EXPECT_LE(sum / 30, task.rectified + kHalfDigit);
    std::filesystem::remove(table);
  }
}

}  // namespace
}  // namespace finescale
