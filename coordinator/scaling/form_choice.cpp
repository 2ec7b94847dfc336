// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/form_choice.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace finescale {
namespace {

// In standard deviations: 95% of the efficiency of the mean under normal errors (Huber 1964).
constexpr double kHuberEfficient = 1.345;

// The rolling origin has three held-out budgets at most, and a form that is too stiff may pass
// through them by luck; its intervals are then too narrow. It is taken only where its held-out
// error is under a third of that of the most flexible form that fits.
constexpr double kSimplerHandicap = 3;

void truncate(LawTable& table, std::size_t rows) {
  for (std::vector<double>* column :
       {&table.ln_D, &table.ln_N, &table.D, &table.N, &table.U, &table.y, &table.weight}) {
    column->resize(rows);
  }
}

// Cells among the rows with D <= limit.
int cells_up_to(const GroupData& group, double limit) {
  std::vector<bool> seen(static_cast<std::size_t>(group.num_cells), false);
  for (std::size_t i = 0; i < group.table.size(); ++i) {
    if (group.table.D[i] <= limit) {
      seen[static_cast<std::size_t>(group.cell[i])] = true;
    }
  }
  return static_cast<int>(std::count(seen.begin(), seen.end(), true));
}

}  // namespace

FormChoice::FormChoice(const GroupData& group, const std::vector<std::string>& forms,
                       const FitOptions& options, const Noise& noise)
    : group_(&group),
      noise_(noise),
      merge_(options.least_squares || noise.from_replicates),
      delta_(options.delta),
      count_(static_cast<std::size_t>(group.num_cells), 0.0) {
  for (const int cell : group.cell) {
    count_[static_cast<std::size_t>(cell)] += 1;
  }
  int most = 0;
  int fewest = std::numeric_limits<int>::max();
  for (const std::string& name : forms) {
    const Law& law = find_law(name);
    fewest = std::min(fewest, law.num_parameters() + 1);
    if (law.needs_size() && group.N <= 0) {
      left_out_.push_back(name + " needs sizes N");
    } else if (group.num_cells < law.num_parameters() + 1) {
      left_out_.push_back(name + " needs " + std::to_string(law.num_parameters() + 1) +
                          " budgets, there are " + std::to_string(group.num_cells));
    } else {
      laws_.push_back(&law);
      most = std::max(most, law.num_parameters());
    }
  }
  if (laws_.empty()) {
    throw Error(ErrorKind::kData,
                "group '" + group.name + "' has " + std::to_string(group.num_cells) +
                    " different budgets; a law needs at least " + std::to_string(fewest),
                "", "run more data budgets, or choose a form with fewer parameters");
  }
  FitOptions working = options;
  if (noise.from_replicates) {
    const double runs = static_cast<double>(group.table.size()) / group.num_cells;
    delta_ = working.delta =
        std::max(options.delta, kHuberEfficient * robust_scatter(group) / std::sqrt(runs));
  }
  full_ = merge_ ? cell_means(group) : group.table;
  const int num_budgets = static_cast<int>(group.budgets.size());
  for (int k = 1; k <= kMaxOrigins && k < num_budgets; ++k) {
    const double limit = group.budgets[static_cast<std::size_t>(num_budgets - k - 1)];
    if (cells_up_to(group, limit) < most) {
      break;
    }
    const auto kept =
        std::count_if(full_.D.begin(), full_.D.end(), [limit](double d) { return d <= limit; });
    kept_.push_back(static_cast<std::size_t>(kept));
    subsets_.push_back(full_);
    truncate(subsets_.back(), kept_.back());
  }
  num_origins_ = static_cast<int>(kept_.size());
  for (const Law* law : laws_) {
    fitters_.emplace_back(static_cast<std::size_t>(num_origins_ + 1), Fitter(*law, working));
  }
  value_.resize(full_.size());
}

void FormChoice::load(const LawTable& rows) {
  if (merge_) {
    std::fill(full_.y.begin(), full_.y.end(), 0.0);
    std::fill(full_.weight.begin(), full_.weight.end(), 0.0);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto c = static_cast<std::size_t>(group_->cell[i]);
      full_.y[c] += rows.weight[i] * rows.y[i];
      full_.weight[c] += rows.weight[i];
    }
    for (std::size_t c = 0; c < full_.size(); ++c) {
      full_.y[c] = full_.weight[c] > 0 ? full_.y[c] / full_.weight[c] : 0.0;
    }
  } else {
    full_.y = rows.y;
    full_.weight = rows.weight;
  }
  for (std::size_t k = 0; k < subsets_.size(); ++k) {
    std::copy_n(full_.y.begin(), kept_[k], subsets_[k].y.begin());
    std::copy_n(full_.weight.begin(), kept_[k], subsets_[k].weight.begin());
  }
}

// Mean squared error of ln L over the rows that the origin holds out.
double FormChoice::origin_error(const Law& law, const Theta& theta, int origin) {
  law.evaluate(theta, full_, value_.data(), nullptr);
  double sum = 0;
  double total = 0;
  for (std::size_t i = kept_[static_cast<std::size_t>(origin)]; i < full_.size(); ++i) {
    const double error = full_.y[i] - value_[i];
    sum += full_.weight[i] * error * error;
    total += full_.weight[i];
  }
  return total > 0 ? sum / total : 0;
}

void FormChoice::test_misfits(FormFits& fits) {
  fits.misfit.assign(laws_.size(), LackOfFit{});
  for (std::size_t f = 0; f < laws_.size() && noise_.from_replicates; ++f) {
    laws_[f]->evaluate(fits.full[f].theta, full_, value_.data(), nullptr);
    fits.misfit[f] = test_lack_of_fit(full_, value_, count_, laws_[f]->num_parameters(),
                                      noise_.within, noise_.df_within);
  }
}

// Smaller is better: the held-out error, or, with too few budgets to hold any out, the corrected
// Akaike criterion of the residuals.
std::vector<double> FormChoice::scores(const FormFits& fits) const {
  if (num_origins_ > 0) {
    return fits.held_out;
  }
  std::vector<double> score;
  const auto n = static_cast<double>(group_->num_cells);
  for (std::size_t f = 0; f < laws_.size(); ++f) {
    const double k = laws_[f]->num_parameters() + 1;
    const double correction = n - k - 1 > 0 ? 2 * k * (k + 1) / (n - k - 1) : 1e6 * k;
    const double variance = std::max(fits.full[f].rmsd * fits.full[f].rmsd, 1e-300);
    score.push_back(std::log(variance) + (2 * k + correction) / n);
  }
  return score;
}

void FormChoice::choose(FormFits& fits, const std::vector<LackOfFit>& misfit) const {
  const std::vector<double> score = scores(fits);
  int most = 0;
  for (std::size_t f = 0; f < laws_.size(); ++f) {
    most = refused(misfit[f]) ? most : std::max(most, laws_[f]->num_parameters());
  }
  fits.chosen = kNoForm;
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t f = 0; f < laws_.size(); ++f) {
    const bool simpler = num_origins_ > 0 && laws_[f]->num_parameters() < most;
    const double handicapped = simpler ? kSimplerHandicap * score[f] : score[f];
    if (!refused(misfit[f]) && handicapped < best) {
      best = handicapped;
      fits.chosen = static_cast<int>(f);
    }
  }
  if (fits.chosen == kNoForm) {
    return;
  }
  // A form whose extra parameters ended at 0 is the simpler one, and is called so.
  const auto same = fits.full[static_cast<std::size_t>(fits.chosen)].objective * (1 + 1e-6) + 1e-18;
  for (std::size_t f = 0; f < laws_.size(); ++f) {
    if (!refused(misfit[f]) && fits.full[f].objective <= same &&
        laws_[f]->num_parameters() <
            laws_[static_cast<std::size_t>(fits.chosen)]->num_parameters()) {
      fits.chosen = static_cast<int>(f);
    }
  }
}

FormFits FormChoice::fit() {
  FormFits fits;
  for (std::size_t f = 0; f < laws_.size(); ++f) {
    fits.full.push_back(fitters_[f][0].fit(full_));
    fits.origins.emplace_back();
    double error = 0;
    for (int k = 0; k < num_origins_; ++k) {
      const auto i = static_cast<std::size_t>(k);
      fits.origins[f].push_back(fitters_[f][i + 1].fit(subsets_[i]));
      error += origin_error(*laws_[f], fits.origins[f][i].theta, k) / num_origins_;
    }
    fits.held_out.push_back(num_origins_ > 0 ? std::sqrt(error)
                                             : std::numeric_limits<double>::quiet_NaN());
  }
  test_misfits(fits);
  choose(fits, fits.misfit);
  return fits;
}

void FormChoice::refit(const LawTable& rows, const FormFits& start, FormFits& out) {
  load(rows);
  out.full.resize(laws_.size());
  out.origins.resize(laws_.size());
  out.held_out.resize(laws_.size());
  for (std::size_t f = 0; f < laws_.size(); ++f) {
    out.full[f] = fitters_[f][0].refine(full_, start.full[f].theta);
    out.origins[f].resize(static_cast<std::size_t>(num_origins_));
    double error = 0;
    for (int k = 0; k < num_origins_; ++k) {
      const auto i = static_cast<std::size_t>(k);
      out.origins[f][i] = fitters_[f][i + 1].refine(subsets_[i], start.origins[f][i].theta);
      error += origin_error(*laws_[f], out.origins[f][i].theta, k) / num_origins_;
    }
    out.held_out[f] =
        num_origins_ > 0 ? std::sqrt(error) : std::numeric_limits<double>::quiet_NaN();
  }
  choose(out, start.misfit);
}

}  // namespace finescale
