// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/fit.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>

namespace finescale {
namespace {

constexpr double kTinyStep = 1e-14;  // relative: below it a step changes nothing in double
constexpr int kMaxAttempts = 30;     // dampings tried for one step
constexpr double kZeroGain = 1e-9;   // a positive parameter must beat 0 by this, relative
constexpr double kRestart = 4;       // above the lower bound, where a parameter that left 0 starts

using ColumnView = Eigen::Map<const Eigen::ArrayXd>;

bool is_zero(const LawBounds& bounds, const Theta& theta, std::size_t i) {
  return bounds.zero_below[i] && theta[i] <= kLogZero;
}

}  // namespace

Fitter::Fitter(const Law& law, const FitOptions& options)
    : law_(&law), options_(options), num_parameters_(law.num_parameters()) {}

void Fitter::reserve(std::size_t rows) {
  if (residual_.size() != rows) {
    residual_.resize(rows);
    trial_residual_.resize(rows);
    jacobian_.resize(rows * kMaxLawParameters);
    trial_jacobian_.resize(rows * kMaxLawParameters);
    scratch_.resize(3 * rows);
    weight_.resize(rows);
  }
}

// Fills trial_residual_ (y - f) and, if asked, trial_jacobian_ (of f); returns the objective,
// halved for least squares so that both losses have the gradient -J^T W psi(r).
double Fitter::residuals(const LawTable& table, const Theta& theta, bool with_jacobian) {
  ++evaluations_;
  law_->evaluate(theta, table, trial_residual_.data(),
                 with_jacobian ? trial_jacobian_.data() : nullptr);
  double sum = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const double r = table.y[i] - trial_residual_[i];
    trial_residual_[i] = r;
    sum += table.weight[i] * (options_.least_squares ? 0.5 * r * r : huber(r, options_.delta));
  }
  return std::isfinite(sum) ? sum : std::numeric_limits<double>::infinity();
}

double Fitter::objective(const LawTable& table, const Theta& theta) {
  reserve(table.size());
  return (options_.least_squares ? 2 : 1) * residuals(table, theta, false);
}

// Free columns (inside the box, or on its edge with the descent pointing inwards), their gradient
// and J^T W J at residual_, jacobian_.
void Fitter::linearise(const LawTable& table, const LawBounds& bounds, const Theta& theta) {
  const auto n = static_cast<Eigen::Index>(table.size());
  const double clip =
      options_.least_squares ? std::numeric_limits<double>::infinity() : options_.delta;
  const ColumnView weight(table.weight.data(), n);
  const ColumnView residual(residual_.data(), n);
  num_free_ = 0;
  gradient_.resize(num_parameters_);
  for (int c = 0; c < num_parameters_; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const ColumnView column(jacobian_.data() + c * n, n);
    const double slope = -(weight * residual.max(-clip).min(clip) * column).sum();
    const bool fixed = is_zero(bounds, theta, i) || (theta[i] <= bounds.low[i] && slope >= 0) ||
                       (theta[i] >= bounds.high[i] && slope <= 0);
    if (!fixed) {
      gradient_(num_free_) = slope;
      free_[static_cast<std::size_t>(num_free_++)] = c;
    }
  }
  gradient_.conservativeResize(num_free_);
  hessian_.resize(num_free_, num_free_);
  for (int c = 0; c < num_free_; ++c) {
    const ColumnView p(jacobian_.data() + free_[static_cast<std::size_t>(c)] * n, n);
    for (int d = 0; d <= c; ++d) {
      const ColumnView q(jacobian_.data() + free_[static_cast<std::size_t>(d)] * n, n);
      hessian_(c, d) = hessian_(d, c) = (weight * p * q).sum();
    }
  }
}

// A damped step from theta into the box; returns the decrease that the linear model promises.
double Fitter::propose(const LawTable& table, const LawBounds& bounds, double lambda,
                       const Theta& theta, Theta& trial, double& largest) {
  const std::span<const int> free(free_.data(), static_cast<std::size_t>(num_free_));
  StepVector step;
  double predicted = 0;
  const StepVector scale = hessian_.diagonal().cwiseMax(1e-300);
  if (options_.least_squares) {
    StepMatrix damped = hessian_;
    damped.diagonal() += lambda * scale;
    step = -gradient_;
    if (!solve_definite(damped, step)) {
      step.setZero();
    }
    predicted = -gradient_.dot(step) - 0.5 * step.dot(hessian_ * step);
  } else {
    predicted = huber_step(residual_, table.weight, jacobian_.data(), free, options_.delta, lambda,
                           scale, scratch_, step);
  }
  trial = theta;
  largest = 0;
  for (int c = 0; c < num_free_; ++c) {
    const auto i = static_cast<std::size_t>(free_[static_cast<std::size_t>(c)]);
    trial[i] = std::clamp(theta[i] + step(c), bounds.low[i], bounds.high[i]);
    largest = std::max(largest, std::abs(trial[i] - theta[i]) / (1 + std::abs(theta[i])));
  }
  return predicted;
}

double Fitter::polish(const LawTable& table, const LawBounds& bounds, Theta& theta) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(num_parameters_); ++i) {
    if (!is_zero(bounds, theta, i)) {
      theta[i] = std::clamp(theta[i], bounds.low[i], bounds.high[i]);
    }
  }
  double value = residuals(table, theta, true);
  double lambda = 1e-4;
  for (int iteration = 0; iteration < options_.max_iterations; ++iteration) {
    residual_.swap(trial_residual_);
    jacobian_.swap(trial_jacobian_);
    linearise(table, bounds, theta);
    bool accepted = false;
    bool ended = num_free_ == 0;
    double growth = 4;
    for (int attempt = 0; attempt < kMaxAttempts && !accepted && !ended; ++attempt) {
      Theta trial;
      double largest = 0;
      const double predicted = propose(table, bounds, lambda, theta, trial, largest);
      if (!(largest > kTinyStep)) {
        break;
      }
      // Most trials are accepted, and the gradient costs little beside the value.
      const double next = residuals(table, trial, true);
      if (next < value) {
        const double gain = (value - next) / std::max(predicted, 1e-300);
        ended = value - next <= options_.tolerance * value;
        theta = trial;
        value = next;
        accepted = true;
        lambda = std::max(lambda * (gain > 0.75 ? 0.1 : (gain > 0.25 ? 0.5 : 2)), 1e-12);
      } else {
        ended = predicted <= options_.tolerance * value;
        lambda *= growth;
        growth *= 2;
      }
    }
    if (!accepted || ended) {
      break;
    }
  }
  return value;
}

// The box holds logarithms, so 0 is never reached by steps: where a parameter became negligible, 0
// itself is tried, and where the search began with 0, whether a positive value is better.
double Fitter::polish_with_zeros(const LawTable& table, const LawBounds& bounds, Theta& theta) {
  double value = polish(table, bounds, theta);
  for (std::size_t i = 0; i < static_cast<std::size_t>(num_parameters_); ++i) {
    if (!bounds.zero_below[i]) {
      continue;
    }
    Theta other = theta;
    if (is_zero(bounds, theta, i)) {
      other[i] = bounds.low[i];
      if (!(residuals(table, other, false) < value)) {
        continue;
      }
      other[i] = bounds.low[i] + kRestart;
    } else if (theta[i] <= bounds.low[i] + 1) {
      other[i] = kLogZero;
    } else {
      continue;
    }
    const double changed = polish(table, bounds, other);
    const bool to_zero = is_zero(bounds, other, i);
    if (to_zero ? changed <= value * (1 + kZeroGain) : changed < value * (1 - kZeroGain)) {
      theta = other;
      value = changed;
    }
  }
  return value;
}

LawFitResult Fitter::finish(const LawTable& table, const LawBounds& bounds, const Theta& theta,
                            double objective) {
  LawFitResult result;
  result.theta = theta;
  result.objective = (options_.least_squares ? 2 : 1) * objective;
  residuals(table, theta, false);
  double sum = 0;
  double total = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    sum += table.weight[i] * trial_residual_[i] * trial_residual_[i];
    total += table.weight[i];
  }
  result.rmsd = std::sqrt(sum / std::max(total, 1e-300));
  for (std::size_t i = 0; i < static_cast<std::size_t>(num_parameters_); ++i) {
    result.at_bound[i] = theta[i] <= bounds.low[i] + 1e-9 || theta[i] >= bounds.high[i] - 1e-9;
  }
  result.evaluations = evaluations_;
  return result;
}

LawFitResult Fitter::refine(const LawTable& table, const Theta& start) {
  reserve(table.size());
  evaluations_ = 0;
  const LawBounds bounds = law_->bounds(table);
  Theta theta = start;
  const double value = polish_with_zeros(table, bounds, theta);
  return finish(table, bounds, theta, value);
}

LawFitResult Fitter::fit(const LawTable& table) {
  reserve(table.size());
  evaluations_ = 0;
  const LawBounds bounds = law_->bounds(table);
  grid_.prepare(*law_, table);
  std::fill(weight_.begin(), weight_.end(), 1.0);
  grid_.best_starts(*law_, table, weight_, options_.starts, starts_);
  if (!options_.least_squares && !starts_.empty()) {
    // Second pass without the pull of outliers: weights of the robust loss at the first answer.
    residuals(table, starts_.front(), false);
    for (std::size_t i = 0; i < table.size(); ++i) {
      weight_[i] = 1 / std::max(1.0, std::abs(trial_residual_[i]) / options_.delta);
    }
    grid_.best_starts(*law_, table, weight_, options_.starts, starts_);
  }
  Theta best{};
  double best_value = std::numeric_limits<double>::infinity();
  for (const Theta& start : starts_) {
    Theta theta = start;
    const double value = polish_with_zeros(table, bounds, theta);
    if (value < best_value) {
      best_value = value;
      best = theta;
    }
  }
  return finish(table, bounds, best, best_value);
}

}  // namespace finescale
