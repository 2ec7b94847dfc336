// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/huber_step.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

namespace finescale {
namespace {

constexpr int kMaxInner = 40;

struct Problem {
  std::size_t rows;
  const double* weight;
  const double* jacobian;
  std::span<const int> free;
  double delta;
  double lambda;
  const StepVector* scale;

  [[nodiscard]] const double* column(int k) const {
    return jacobian + static_cast<std::size_t>(free[static_cast<std::size_t>(k)]) * rows;
  }
};

// Gradient and curvature of the model at the residuals `r` (those after the step so far).
void derivatives(const Problem& p, const double* r, const StepVector& step, bool majorise,
                 StepVector& gradient, StepMatrix& hessian) {
  const int k = static_cast<int>(p.free.size());
  gradient.setZero(k);
  hessian.setZero(k, k);
  std::array<double, kMaxLawParameters> row{};
  for (std::size_t i = 0; i < p.rows; ++i) {
    const double a = std::abs(r[i]);
    const bool inside = a <= p.delta;
    const double psi = p.weight[i] * (inside ? r[i] : std::copysign(p.delta, r[i]));
    const double curve = p.weight[i] * (inside ? 1.0 : (majorise ? p.delta / a : 0.0));
    for (int c = 0; c < k; ++c) {
      row[static_cast<std::size_t>(c)] = p.column(c)[i];
      gradient(c) -= psi * row[static_cast<std::size_t>(c)];
    }
    if (curve > 0) {
      for (int c = 0; c < k; ++c) {
        const double scaled = curve * row[static_cast<std::size_t>(c)];
        for (int d = 0; d <= c; ++d) {
          hessian(c, d) += scaled * row[static_cast<std::size_t>(d)];
        }
      }
    }
  }
  for (int c = 0; c < k; ++c) {
    gradient(c) += p.lambda * (*p.scale)(c)*step(c);
    hessian(c, c) += p.lambda * (*p.scale)(c);
    for (int d = 0; d < c; ++d) {
      hessian(d, c) = hessian(c, d);
    }
  }
}

// Slope of the model along `direction` after a further move t: its root is the exact line search.
double slope(const Problem& p, const double* r, const double* moved, double linear,
             double quadratic, double t) {
  double sum = linear + t * quadratic;
  for (std::size_t i = 0; i < p.rows; ++i) {
    const double at = r[i] - t * moved[i];
    sum -= p.weight[i] * moved[i] * std::clamp(at, -p.delta, p.delta);
  }
  return sum;
}

double line_search(const Problem& p, const double* r, const double* moved, double linear,
                   double quadratic) {
  double low = 0;
  double high = 1;
  double at_high = slope(p, r, moved, linear, quadratic, high);
  for (int i = 0; i < 30 && at_high < 0; ++i) {
    low = high;
    high *= 2;
    at_high = slope(p, r, moved, linear, quadratic, high);
  }
  double at_low = slope(p, r, moved, linear, quadratic, low);
  // Illinois false position: the slope is piecewise linear, so this ends in a few steps.
  for (int i = 0; i < 40 && high - low > 1e-12 * high; ++i) {
    double t =
        at_high > at_low ? low - at_low * (high - low) / (at_high - at_low) : 0.5 * (low + high);
    t = std::clamp(t, low + 0.001 * (high - low), high - 0.001 * (high - low));
    const double value = slope(p, r, moved, linear, quadratic, t);
    if (std::abs(value) < 1e-300) {
      return t;
    }
    if (value < 0) {
      low = t;
      at_low = value;
      at_high *= 0.5;
    } else {
      high = t;
      at_high = value;
      at_low *= 0.5;
    }
    if (std::min(std::abs(at_low), std::abs(at_high)) < 1e-18) {
      break;
    }
  }
  return 0.5 * (low + high);
}

double model(const Problem& p, const double* r, const StepVector& step) {
  double sum = 0;
  for (std::size_t i = 0; i < p.rows; ++i) {
    sum += p.weight[i] * huber(r[i], p.delta);
  }
  for (int c = 0; c < step.size(); ++c) {
    sum += 0.5 * p.lambda * (*p.scale)(c)*step(c) * step(c);
  }
  return sum;
}

}  // namespace

double huber_step(std::span<const double> residual, std::span<const double> weight,
                  const double* jacobian, std::span<const int> free, double delta, double lambda,
                  const StepVector& scale, std::span<double> scratch, StepVector& step) {
  const Problem p{residual.size(), weight.data(), jacobian, free, delta, lambda, &scale};
  const int k = static_cast<int>(free.size());
  double* r = scratch.data();
  double* moved = scratch.data() + p.rows;
  std::copy(residual.begin(), residual.end(), r);
  step.setZero(k);
  const double before = model(p, r, step);
  double value = before;
  StepVector gradient;
  StepMatrix hessian;
  for (int iteration = 0; iteration < kMaxInner; ++iteration) {
    // The majoriser is safe while many rows change sides; Newton then ends exactly.
    derivatives(p, r, step, iteration < 3, gradient, hessian);
    for (int c = 0; c < k; ++c) {
      hessian(c, c) += 1e-12 * scale(c) + 1e-300;
    }
    const StepVector direction = hessian.ldlt().solve(-gradient);
    const double descent = direction.dot(gradient);
    if (!(descent < 0)) {
      break;
    }
    for (std::size_t i = 0; i < p.rows; ++i) {
      double sum = 0;
      for (int c = 0; c < k; ++c) {
        sum += p.column(c)[i] * direction(c);
      }
      moved[i] = sum;
    }
    double linear = 0;
    double quadratic = 0;
    for (int c = 0; c < k; ++c) {
      linear += lambda * scale(c) * step(c) * direction(c);
      quadratic += lambda * scale(c) * direction(c) * direction(c);
    }
    const double t = line_search(p, r, moved, linear, quadratic);
    step += t * direction;
    for (std::size_t i = 0; i < p.rows; ++i) {
      r[i] -= t * moved[i];
    }
    const double next = model(p, r, step);
    const bool done = iteration >= 3 && value - next <= 1e-15 * before;
    value = std::min(value, next);
    if (done) {
      break;
    }
  }
  return before - value;
}

}  // namespace finescale
