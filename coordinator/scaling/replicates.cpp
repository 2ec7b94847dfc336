// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/replicates.h"

#include <algorithm>
#include <cmath>

#include "core/random.h"

namespace finescale {
namespace {

std::vector<double> residuals(const GroupData& data, const Law& law, const Theta& theta) {
  std::vector<double> value(data.table.size());
  law.evaluate(theta, data.table, value.data(), nullptr);
  for (std::size_t i = 0; i < value.size(); ++i) {
    value[i] = data.table.y[i] - value[i];
  }
  return value;
}

// The form with the most parameters leaves the least misfit in the residuals.
std::size_t most_flexible(const std::vector<const Law*>& laws) {
  std::size_t best = 0;
  for (std::size_t f = 1; f < laws.size(); ++f) {
    best = laws[f]->num_parameters() > laws[best]->num_parameters() ? f : best;
  }
  return best;
}

// The measured means at the group's largest size, as a curve.
Curve joined_means(const GroupData& data, const LawTable& rows) {
  Curve curve;
  curve.N = data.N;
  double sum = 0;
  double weight = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {  // ascending D
    if (rows.N[i] != data.N) {
      continue;
    }
    const double x = std::log(rows.D[i]);
    if (curve.knot_x.empty() || curve.knot_x.back() != x) {
      curve.knot_x.push_back(x);
      curve.knot_y.push_back(0);
      sum = weight = 0;
    }
    sum += rows.weight[i] * rows.y[i];
    weight += rows.weight[i];
    curve.knot_y.back() = sum / weight;
  }
  return curve;
}

void fit_data(const std::vector<std::string>& forms, const FitOptions& fit, GroupStudy& study) {
  if (has_replicates(study.data)) {
    study.noise = estimate_noise(study.data, {}, 0);
  }
  FormChoice choice(study.data, forms, fit, study.noise);
  study.laws = choice.laws();
  study.left_out = choice.left_out();
  study.delta = choice.delta();
  study.fits = choice.fit();
  for (const Law* law : study.laws) {
    study.named.push_back(Fitter(*law, fit).fit(study.data.table));
  }
  study.has_form = study.fits.chosen != kNoForm;
  if (study.has_form) {
    const auto chosen = static_cast<std::size_t>(study.fits.chosen);
    study.chosen = {study.laws[chosen], study.fits.full[chosen].theta, study.data.N};
  } else {
    study.chosen = joined_means(study.data, study.data.table);
  }
}

}  // namespace

GroupStudy study_group(GroupData data, const std::vector<std::string>& forms, const FitOptions& fit,
                       int replicates, unsigned long long seed, unsigned long long stream) {
  GroupStudy study;
  study.data = std::move(data);
  fit_data(forms, fit, study);
  const std::size_t flexible = most_flexible(study.laws);
  const std::vector<double> residual =
      residuals(study.data, *study.laws[flexible], study.fits.full[flexible].theta);
  study.noise = estimate_noise(study.data, residual, study.laws[flexible]->num_parameters());
  study.resampling = choose_resampling(study.data);

  FitOptions quick = fit;
  quick.tolerance = std::max(fit.tolerance, 1e-7);  // far below the noise of resampling
  quick.max_iterations = 60;
  FormChoice again(study.data, forms, quick, study.noise);
  Resampler resampler(study.data, study.resampling, study.noise, residual);
  study.by_form.assign(study.laws.size(), {});
  study.form_share.assign(study.laws.size(), 0.0);
  LawTable rows = study.data.table;
  FormFits out;
  for (int b = 0; b < replicates; ++b) {
    Random random(seed, Purpose::kBootstrap, (stream << 32) + static_cast<unsigned long long>(b));
    study.level_shift.push_back(resampler.draw(random, rows));
    again.refit(rows, study.fits, out);
    const auto f = static_cast<std::size_t>(out.chosen);
    if (study.has_form) {
      study.curves.push_back({study.laws[f], out.full[f].theta, study.data.N});
      study.form_share[f] += 1.0 / replicates;
    } else {
      study.curves.push_back(joined_means(study.data, rows));
    }
    for (std::size_t form = 0; form < study.laws.size(); ++form) {
      study.by_form[form].push_back(out.full[form].theta);
    }
  }
  return study;
}

}  // namespace finescale
