// SPDX-License-Identifier: Apache-2.0
// Parameters of every fit with intervals, and which of them the data do not determine.
#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "coordinator/scaling/study_parts.h"

namespace finescale {
namespace {

// Of the Jacobian with columns scaled to length 1: how strongly parameters trade off. 1e3 means
// that a combination of them may move a thousand times farther than each alone.
constexpr double kWorstCondition = 3e3;
// A positive parameter whose 80% or 95% interval spans more than this factor is a bound, no point.
constexpr double kWidestFactor = 100;

double condition(const Law& law, const Theta& theta, const LawTable& table) {
  const auto n = static_cast<Eigen::Index>(table.size());
  const int p = law.num_parameters();
  std::vector<double> value(table.size());
  Eigen::MatrixXd jacobian(n, p);
  law.evaluate(theta, table, value.data(), jacobian.data());
  int used = 0;
  for (int c = 0; c < p; ++c) {
    const double norm = jacobian.col(c).norm();
    if (norm > 1e-12) {
      jacobian.col(used++) = jacobian.col(c) / norm;
    }
  }
  if (used == 0) {
    return 1;
  }
  const Eigen::VectorXd singular = jacobian.leftCols(used).jacobiSvd().singularValues();
  return singular(0) / std::max(singular(used - 1), 1e-300);
}

void judge(const LawFitResult& result, const Law& law, const GroupData& data, LawFit& fit) {
  const std::vector<std::string> names = law.parameter_names();
  const auto add = [&fit](const std::string& reason) {
    fit.why_not += (fit.why_not.empty() ? "" : "; ") + reason;
    fit.identifiable = false;
  };
  for (std::size_t p = 0; p < names.size(); ++p) {
    const double value = fit.parameters[names[p]];
    if (result.at_bound[p]) {
      add(value == 0 ? names[p] + " is not above 0: only an upper bound is known"
                     : names[p] + " ended on the edge of what is allowed");
      fit.not_identified.push_back(names[p]);
      continue;
    }
    const auto interval = fit.intervals.find(names[p]);
    if (interval == fit.intervals.end()) {
      continue;
    }
    const double low = interval->second.low;
    const double high = interval->second.high;
    if (high > kWidestFactor * std::max(low, 0.0) || !std::isfinite(high)) {
      add(names[p] + " may be anything from " + number_text(low) + " to " + number_text(high));
      fit.not_identified.push_back(names[p]);
    }
  }
  const double worst = condition(law, result.theta, data.table);
  if (worst > kWorstCondition) {
    add("parameters trade off against each other (condition number " + number_text(worst, 2) + ")");
    fit.not_identified = names;
  }
}

}  // namespace

std::vector<LawFit> describe_fits(const GroupStudy& group, double level) {
  std::vector<LawFit> fits;
  for (std::size_t f = 0; f < group.laws.size(); ++f) {
    const Law& law = *group.laws[f];
    const LawFitResult& result = group.named[f];
    const std::vector<std::string> names = law.parameter_names();
    LawFit fit;
    fit.group = group.data.name;
    fit.form = law.name();
    fit.n = static_cast<int>(group.data.table.size());
    fit.theta.assign(result.theta.begin(),
                     result.theta.begin() + static_cast<std::ptrdiff_t>(names.size()));
    const std::vector<double> printed = law.parameters(result.theta);
    for (std::size_t p = 0; p < names.size(); ++p) {
      fit.parameters[names[p]] = printed[p];
      std::vector<double> values;
      for (const Theta& theta : group.by_form[f]) {
        values.push_back(law.parameters(theta)[p]);
      }
      if (!values.empty()) {
        fit.intervals[names[p]] = percentile_interval(std::move(values), level);
      }
    }
    fit.objective = result.objective;
    fit.rmsd = result.rmsd;
    if (std::isfinite(group.fits.held_out[f])) {
      fit.held_out_rmsd = group.fits.held_out[f];
    }
    fit.chosen_share = group.form_share[f];
    judge(result, law, group.data, fit);
    const LackOfFit& misfit = group.fits.misfit[f];
    if (group.noise.from_replicates && misfit.df > 0) {
      fit.misfit_p_value = misfit.p_value;
      fit.refused = refused(misfit);
    }
    fits.push_back(std::move(fit));
  }
  return fits;
}

Band make_band(const GroupStudy& group, double level) {
  constexpr int kSteps = 48;
  Band band;
  const double left = std::log(group.data.min_budget());
  const double right = std::log((group.has_form ? 4 : 1) * group.data.max_budget());
  for (int i = 0; i <= kSteps; ++i) {
    const double D = std::exp(left + (right - left) * i / kSteps);
    const double middle = std::exp(curve_log_loss(group.chosen, D));
    std::vector<double> values;
    for (const Curve& curve : group.curves) {
      values.push_back(curve_log_loss(curve, D));
    }
    Interval interval{std::log(middle), std::log(middle)};
    if (!values.empty()) {
      interval = replicate_interval(group, std::move(values), level);
    }
    band.D.push_back(D);
    band.middle.push_back(middle);
    band.low.push_back(std::exp(interval.low));
    band.high.push_back(std::exp(interval.high));
  }
  return band;
}

std::vector<HeldOut> make_held_out(const GroupStudy& group) {
  std::vector<HeldOut> list;
  const auto origins = static_cast<int>(group.fits.origins.front().size());
  if (origins == 0 || !group.has_form) {
    return list;
  }
  const auto last = static_cast<std::size_t>(origins - 1);
  const auto chosen = static_cast<std::size_t>(group.fits.chosen);
  const Curve curve{group.laws[chosen], group.fits.origins[chosen][last].theta, group.data.N};
  // The plain power law on the same kept rows, whether or not it is among the forms.
  const double limit = group.data.budgets[group.data.budgets.size() - last - 2];
  std::vector<LawPoint> kept;
  for (std::size_t i = 0; i < group.data.table.size(); ++i) {
    if (group.data.table.D[i] <= limit) {
      LawPoint point;
      point.D = group.data.table.D[i];
      point.loss = std::exp(group.data.table.y[i]);
      kept.push_back(point);
    }
  }
  Fitter power(find_law("power"), FitOptions{});
  const Curve straight{&power.law(), power.fit(make_law_table(kept)).theta, 0};
  for (std::size_t b = group.data.budgets.size() - last - 1; b < group.data.budgets.size(); ++b) {
    const double D = group.data.budgets[b];
    double sum = 0;
    int count = 0;
    for (std::size_t i = 0; i < group.data.table.size(); ++i) {
      if (group.data.table.D[i] == D) {
        sum += group.data.table.y[i];
        ++count;
      }
    }
    list.push_back({D, std::exp(sum / count), std::exp(curve_log_loss(curve, D)),
                    std::exp(curve_log_loss(straight, D))});
  }
  return list;
}

}  // namespace finescale
