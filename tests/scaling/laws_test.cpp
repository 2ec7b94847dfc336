// SPDX-License-Identifier: Apache-2.0
// Every form: its gradient, its variable projection, and published values.
#include <gtest/gtest.h>

#include <cmath>

#include "coordinator/scaling/fit.h"
#include "coordinator/scaling/law.h"
#include "core/random.h"

namespace finescale {
namespace {

double between(Random& random, double low, double high) {
  return low + (high - low) * random.uniform();
}

// A table of sizes, budgets and repeats such as the forms are meant for.
LawTable random_table(Random& random) {
  std::vector<LawPoint> points;
  for (int i = 0; i < 40; ++i) {
    LawPoint p;
    p.D = std::exp(between(random, std::log(100.0), std::log(1e5)));
    p.N = std::exp(between(random, std::log(1e4), std::log(1e7)));
    p.U = p.D / between(random, 1, 20);
    p.loss = between(random, 1, 4);
    points.push_back(p);
  }
  return make_law_table(points);
}

// A point of the internal parameters in whose neighbourhood all terms matter.
Theta random_theta(const std::string& form, Random& random) {
  const double e = between(random, -0.5, 0.5);
  const double a = between(random, 1, 3);
  const double alpha = between(random, 0.1, 0.6);
  const double beta = between(random, 0.1, 0.6);
  if (form == "power") {
    return {a, alpha};
  }
  if (form == "power_offset") {
    return {e, a, alpha};
  }
  if (form == "rectified") {
    return {e, a, between(random, 1, 5), beta};
  }
  if (form == "additive") {
    return {e, a, between(random, 1, 3), alpha, beta};
  }
  if (form == "multiplicative") {
    return {e, a, alpha, beta};
  }
  if (form == "joint_rectified") {
    return {e, a, between(random, 1, 5), alpha, beta};
  }
  if (form == "data_constrained") {
    return {e, a, between(random, 1, 3), alpha, between(random, 0, 3), between(random, 0, 3)};
  }
  if (form == "constant") {
    return {e};
  }
  if (form == "exponential") {
    return {e, a, -between(random, 6, 11)};
  }
  EXPECT_EQ(form, "logarithmic") << "a new form needs a case here";
  return {between(random, 3, 4), between(random, -2, 0)};
}

class EveryLaw : public testing::TestWithParam<std::string> {};

TEST_P(EveryLaw, GradientIsThatOfTheValue) {
  const Law& law = find_law(GetParam());
  Random random(7, Purpose::kSimulation, 1);
  const LawTable table = random_table(random);
  const std::size_t n = table.size();
  const auto parameters = static_cast<std::size_t>(law.num_parameters());
  std::vector<double> value(n), above(n), below(n), jacobian(n * parameters);
  double worst = 0;
  for (int trial = 0; trial < 20; ++trial) {
    const Theta theta = random_theta(GetParam(), random);
    law.evaluate(theta, table, value.data(), jacobian.data());
    for (std::size_t p = 0; p < parameters; ++p) {
      // Central differences: truncation h^2, rounding 1e-16 / h; both near 1e-10 here.
      const double h = 1e-5;
      Theta moved = theta;
      moved[p] = theta[p] + h;
      law.evaluate(moved, table, above.data(), nullptr);
      moved[p] = theta[p] - h;
      law.evaluate(moved, table, below.data(), nullptr);
      for (std::size_t i = 0; i < n; ++i) {
        const double numeric = (above[i] - below[i]) / (2 * h);
        const double error =
            std::abs(numeric - jacobian[p * n + i]) / std::max(1.0, std::abs(numeric));
        worst = std::max(worst, error);
        ASSERT_LT(error, 1e-7) << law.parameter_names()[p] << " row " << i << " trial " << trial;
      }
    }
  }
  RecordProperty("worst_error", std::to_string(worst));
}

class EverySeparableLaw : public EveryLaw {};

TEST_P(EverySeparableLaw, TermsAssembleToTheSameCurve) {
  const Law& law = find_law(GetParam());
  Random random(8, Purpose::kSimulation, 1);
  const LawTable table = random_table(random);
  const std::vector<Theta> candidates = law.candidates(table);
  const auto terms = static_cast<std::size_t>(law.num_terms());
  std::vector<double> columns(table.size() * terms), value(table.size());
  for (std::size_t c = 0; c < candidates.size(); c += 7) {
    law.terms(candidates[c], table, columns.data());
    const std::array<double, kMaxLawTerms> coefficients = {1.5, 0.7, 2.5};
    law.evaluate(law.assemble(candidates[c], coefficients.data()), table, value.data(), nullptr);
    for (std::size_t i = 0; i < table.size(); ++i) {
      double sum = 0;
      for (std::size_t t = 0; t < terms; ++t) {
        sum += coefficients[t] * columns[t * table.size() + i];
      }
      ASSERT_NEAR(value[i], std::log(sum), 1e-10) << "candidate " << c << " row " << i;
    }
  }
}

TEST_P(EveryLaw, NoiseFreeCurveIsFittedExactly) {
  const Law& law = find_law(GetParam());
  Random random(9, Purpose::kSimulation, 1);
  for (int trial = 0; trial < 3; ++trial) {
    LawTable table = random_table(random);
    const Theta theta = random_theta(GetParam(), random);
    law.evaluate(theta, table, table.y.data(), nullptr);
    for (const bool least_squares : {true, false}) {
      FitOptions options;
      options.least_squares = least_squares;
      Fitter fitter(law, options);
      EXPECT_LT(fitter.fit(table).rmsd, 1e-5)
          << "trial " << trial << (least_squares ? " least squares" : " huber");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, EveryLaw, testing::ValuesIn(law_names()),
                         [](const auto& each) { return each.param; });

// The data-constrained form takes the split of excess parameters as given in its linear part.
std::vector<std::string> separable_names() {
  std::vector<std::string> names = law_names();
  std::erase(names, "data_constrained");
  return names;
}
INSTANTIATE_TEST_SUITE_P(Forms, EverySeparableLaw, testing::ValuesIn(separable_names()),
                         [](const auto& each) { return each.param; });

TEST(DataConstrainedLaw, HasThePublishedValues) {
  // Muennighoff et al. 2023, coefficients and two losses of the authors' README.
  const Theta theta = {0.6254804,           6.255414,          7.3049974, 0.3526596,
                       std::log(15.387756), std::log(5.309743)};
  const auto loss = [&](double N, double D, double U) {
    LawPoint point;
    point.N = N;
    point.D = D;
    point.U = U;
    return std::exp(find_law("data_constrained").log_loss(theta, point));
  };
  EXPECT_NEAR(loss(6.34e9, 242e9, 25e9), 2.2256440889984477, 1e-9);
  EXPECT_NEAR(loss(8.67e9, 178e9, 25e9), 2.2269634075087867, 1e-9);
}

TEST(AdditiveLaw, RecoversANoiseFreeSurface) {
  // E, A, B, alpha, beta of the usual check of Chinchilla fits; 5 compute budgets, 15 sizes each.
  const std::vector<double> truth = {1.69, 406.4, 410.7, 0.465, 0.155};
  std::vector<LawPoint> points;
  for (double compute = 1e17; compute < 2e21; compute *= 10) {
    const double middle = std::sqrt(compute / 120);  // 20 tokens a parameter
    for (int i = 0; i < 15; ++i) {
      LawPoint p;
      p.N = middle * std::pow(2, (i - 7) / 2.0);
      p.D = compute / (6 * p.N);
      p.loss = truth[0] + truth[1] / std::pow(p.N, truth[3]) + truth[2] / std::pow(p.D, truth[4]);
      points.push_back(p);
    }
  }
  for (const bool least_squares : {false, true}) {
    FitOptions options;
    options.least_squares = least_squares;
    Fitter fitter(find_law("additive"), options);
    const LawFitResult result = fitter.fit(make_law_table(points));
    const std::vector<double> found = find_law("additive").parameters(result.theta);
    double worst = 0;
    for (std::size_t p = 0; p < truth.size(); ++p) {
      worst = std::max(worst, std::abs(found[p] / truth[p] - 1));
    }
    std::printf("%s: worst relative error of a parameter %.2e, objective %.2e\n",
                least_squares ? "least squares" : "huber", worst, result.objective);
    EXPECT_LT(worst, 1e-6);
  }
}

}  // namespace
}  // namespace finescale
