// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/curve.h"

#include <algorithm>
#include <cmath>

namespace finescale {
namespace {

constexpr double kLogTolerance = 1e-10;

double interpolated(const Curve& curve, double x) {
  const auto above = std::upper_bound(curve.knot_x.begin(), curve.knot_x.end(), x);
  if (above == curve.knot_x.begin()) {
    return curve.knot_y.front();
  }
  if (above == curve.knot_x.end()) {
    return curve.knot_y.back();
  }
  const auto right = static_cast<std::size_t>(above - curve.knot_x.begin());
  const double t = (x - curve.knot_x[right - 1]) / (curve.knot_x[right] - curve.knot_x[right - 1]);
  return (1 - t) * curve.knot_y[right - 1] + t * curve.knot_y[right];
}

// Means may rise in between: the first place where the line comes down to the target.
double first_reached(const Curve& curve, double ln_target, double low, double high) {
  for (std::size_t k = 0; k < curve.knot_x.size(); ++k) {
    if (curve.knot_y[k] > ln_target) {
      continue;
    }
    double x = curve.knot_x[k];  // of the first knot: there, or with less than was measured
    if (k > 0) {
      const double t = (curve.knot_y[k - 1] - ln_target) / (curve.knot_y[k - 1] - curve.knot_y[k]);
      x = curve.knot_x[k - 1] + t * (x - curve.knot_x[k - 1]);
    }
    const double D = std::max(std::exp(x), low);
    if (D <= high) {
      return D;
    }
    return kNever;
  }
  return kNever;
}

}  // namespace

double curve_log_loss(const Curve& curve, double D) {
  if (curve.law == nullptr) {
    return interpolated(curve, std::log(D));
  }
  thread_local LawTable row = [] {
    LawPoint point;
    point.D = 1;
    point.loss = 1;
    return make_law_table({&point, 1});
  }();
  row.D[0] = row.U[0] = D;
  row.ln_D[0] = std::log(D);
  row.N[0] = curve.N;
  row.ln_N[0] = curve.N > 0 ? std::log(curve.N) : 0;
  double value = 0;
  curve.law->evaluate(curve.theta, row, &value, nullptr);
  return value;
}

double data_to_reach(const Curve& curve, double ln_target, double low, double high) {
  if (curve.law == nullptr) {
    return first_reached(curve, ln_target, low, high);
  }
  if (curve_log_loss(curve, low) <= ln_target) {
    return low;
  }
  if (curve_log_loss(curve, high) > ln_target) {
    return kNever;
  }
  double a = std::log(low);
  double b = std::log(high);
  while (b - a > kLogTolerance) {  // every form falls with D
    const double middle = 0.5 * (a + b);
    (curve_log_loss(curve, std::exp(middle)) <= ln_target ? b : a) = middle;
  }
  return std::exp(0.5 * (a + b));
}

double ln_crossing(const Curve& a, const Curve& b, double low, double high) {
  const auto difference = [&](double ln_D) {
    return curve_log_loss(a, std::exp(ln_D)) - curve_log_loss(b, std::exp(ln_D));
  };
  double left = std::log(low);
  double right = std::log(high);
  const bool a_first = difference(left) < 0;
  const bool a_last = difference(right) < 0;
  if (a_first == a_last) {
    return a_first ? kNever : -kNever;
  }
  if (!a_first) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  while (right - left > 1e-7) {
    const double middle = 0.5 * (left + right);
    (difference(middle) < 0 ? left : right) = middle;
  }
  return 0.5 * (left + right);
}

}  // namespace finescale
