// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/huber_step.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace finescale {
namespace {

constexpr int kMaxInner = 40;
constexpr double kFlatEnough = 0.02;  // slope at the end of a line search over that at its start
constexpr double kLittleGain = 1e-3;  // of a step over all so far: the law is not linear anyway
constexpr int kMajorised = 3;         // first steps that are, where most rows lie outside delta

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

// Views of n numbers as an array expression, which the compiler turns into vector instructions.
using View = Eigen::Map<const Eigen::ArrayXd>;
using Writable = Eigen::Map<Eigen::ArrayXd>;

View view(const double* first, std::size_t n) {
  return {first, static_cast<Eigen::Index>(n)};
}

// Gradient and curvature of the model at the residuals `r` (those after the step so far).
// work: 2 n.
void derivatives(const Problem& p, const double* r, const StepVector& step, bool majorise,
                 double* work, StepVector& gradient, StepMatrix& hessian) {
  const int k = static_cast<int>(p.free.size());
  gradient.resize(k);
  hessian.resize(k, k);
  const View residual = view(r, p.rows);
  const View weight = view(p.weight, p.rows);
  Writable product(work, residual.size());
  Writable curve(work + p.rows, residual.size());
  product = weight * residual.max(-p.delta).min(p.delta);
  for (int c = 0; c < k; ++c) {
    gradient(c) = p.lambda * (*p.scale)(c)*step(c) - (view(p.column(c), p.rows) * product).sum();
  }
  if (majorise) {
    curve = weight * (p.delta / residual.abs().max(p.delta));
  } else {
    for (std::size_t i = 0; i < p.rows; ++i) {
      curve[static_cast<Eigen::Index>(i)] = std::abs(r[i]) <= p.delta ? p.weight[i] : 0.0;
    }
  }
  for (int c = 0; c < k; ++c) {
    product = curve * view(p.column(c), p.rows);
    for (int d = 0; d <= c; ++d) {
      hessian(c, d) = hessian(d, c) = (view(p.column(d), p.rows) * product).sum();
    }
    hessian(c, c) += (p.lambda + 1e-12) * (*p.scale)(c) + 1e-300;
  }
}

// Slope of the model along `direction` after a further move t: its root is the exact line search.
double slope(const Problem& p, const double* r, const double* moved, double linear,
             double quadratic, double t) {
  const View direction = view(moved, p.rows);
  return linear + t * quadratic -
         (view(p.weight, p.rows) * direction *
          (view(r, p.rows) - t * direction).max(-p.delta).min(p.delta))
             .sum();
}

double line_search(const Problem& p, const double* r, const double* moved, double linear,
                   double quadratic) {
  double low = 0;
  double high = 1;
  double at_low = slope(p, r, moved, linear, quadratic, low);
  double at_high = slope(p, r, moved, linear, quadratic, high);
  const double enough = kFlatEnough * std::abs(at_low);
  if (std::abs(at_high) <= enough) {
    return high;
  }
  for (int i = 0; i < 30 && at_high < 0; ++i) {
    low = high;
    at_low = at_high;
    high *= 2;
    at_high = slope(p, r, moved, linear, quadratic, high);
  }
  // Illinois false position: the slope is piecewise linear, so this ends in a few steps.
  for (int i = 0; i < 40 && high - low > 1e-12 * high; ++i) {
    double t =
        at_high > at_low ? low - at_low * (high - low) / (at_high - at_low) : 0.5 * (low + high);
    t = std::clamp(t, low + 0.001 * (high - low), high - 0.001 * (high - low));
    const double value = slope(p, r, moved, linear, quadratic, t);
    if (std::abs(value) <= enough) {
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
  // rho(r) = c (|r| - c / 2) with c = min(|r|, delta).
  const auto size = view(r, p.rows).abs();
  const auto inner = size.min(p.delta);
  double sum = (view(p.weight, p.rows) * inner * (size - 0.5 * inner)).sum();
  for (int c = 0; c < step.size(); ++c) {
    sum += 0.5 * p.lambda * (*p.scale)(c)*step(c) * step(c);
  }
  return sum;
}

bool mostly_inside(const Problem& p, const double* r) {
  const auto inside =
      std::count_if(r, r + p.rows, [&](double v) { return std::abs(v) <= p.delta; });
  return 2 * static_cast<std::size_t>(inside) > p.rows;
}

// The full step ends where every row is on the same side of delta: the piece is quadratic there and
// its minimum is exact.
bool same_piece(const Problem& p, const double* r, const double* moved) {
  for (std::size_t i = 0; i < p.rows; ++i) {
    const double after = r[i] - moved[i];
    if ((std::abs(r[i]) <= p.delta) != (std::abs(after) <= p.delta) ||
        (std::abs(after) > p.delta && (after > 0) != (r[i] > 0))) {
      return false;
    }
  }
  return true;
}

void move_along(const Problem& p, const StepVector& direction, double* moved) {
  Writable sum(moved, static_cast<Eigen::Index>(p.rows));
  sum.setZero();
  for (int c = 0; c < direction.size(); ++c) {
    sum += direction(c) * view(p.column(c), p.rows);
  }
}

}  // namespace

bool solve_definite(StepMatrix& matrix, StepVector& x) {
  const auto n = static_cast<int>(x.size());
  for (int j = 0; j < n; ++j) {  // L D L^T in place, then three triangular solves
    double d = matrix(j, j);
    for (int k = 0; k < j; ++k) {
      d -= matrix(j, k) * matrix(j, k) * matrix(k, k);
    }
    if (!(d > 0)) {
      return false;
    }
    matrix(j, j) = d;
    for (int i = j + 1; i < n; ++i) {
      double sum = matrix(i, j);
      for (int k = 0; k < j; ++k) {
        sum -= matrix(i, k) * matrix(j, k) * matrix(k, k);
      }
      matrix(i, j) = sum / d;
    }
  }
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < i; ++k) {
      x(i) -= matrix(i, k) * x(k);
    }
  }
  for (int i = n - 1; i >= 0; --i) {
    x(i) /= matrix(i, i);
    for (int k = i + 1; k < n; ++k) {
      x(i) -= matrix(k, i) * x(k);
    }
  }
  return true;
}

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
  const int majorised = mostly_inside(p, r) ? 0 : kMajorised;
  StepVector gradient, direction;
  StepMatrix hessian;
  for (int iteration = 0; iteration < kMaxInner; ++iteration) {
    // The majoriser is safe while many rows change sides; Newton then ends exactly.
    const bool newton = iteration >= majorised;
    derivatives(p, r, step, !newton, moved, gradient, hessian);
    direction = -gradient;
    if (!solve_definite(hessian, direction) || !(direction.dot(gradient) < 0)) {
      break;
    }
    move_along(p, direction, moved);
    const bool exact = newton && same_piece(p, r, moved);
    double t = 1;
    if (!exact) {
      const double linear = lambda * (scale.array() * step.array() * direction.array()).sum();
      const double quadratic = lambda * (scale.array() * direction.array().square()).sum();
      t = line_search(p, r, moved, linear, quadratic);
    }
    step += t * direction;
    Writable(r, static_cast<Eigen::Index>(p.rows)) -= t * view(moved, p.rows);
    const double next = model(p, r, step);
    const bool done = exact || (newton && value - next <= kLittleGain * (before - next));
    value = std::min(value, next);
    if (done) {
      break;
    }
  }
  return before - value;
}

}  // namespace finescale
