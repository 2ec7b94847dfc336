// SPDX-License-Identifier: Apache-2.0
// A scaling law: a parametric form L(D[, N[, U]]) fitted in log space. One .cpp per form;
// registry.cpp lists them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace finescale {

struct LawPoint {
  double D = 0;     // data budget, examples (or tokens: the caller's unit)
  double N = 0;     // model or adapter size; 0 when the form does not use it
  double U = 0;     // unique examples; 0 means U = D
  double loss = 0;  // > 0
  double weight = 1;
  std::string group;  // method
  std::string trunk;  // (method, seed): points of one trunk are correlated; empty: independent
};

class Law {
 public:
  virtual ~Law() = default;
  [[nodiscard]] virtual const std::string& name() const = 0;
  [[nodiscard]] virtual std::vector<std::string> parameter_names()
      const = 0;  // as printed: E, A, alpha, ...
  [[nodiscard]] virtual double log_loss(std::span<const double> theta,
                                        const LawPoint& x) const = 0;  // theta: internal
  // Value and gradient of log loss with respect to internal parameters.
  virtual double log_loss_gradient(std::span<const double> theta, const LawPoint& x,
                                   std::span<double> gradient) const = 0;
  // internal -> printed parameters.
  [[nodiscard]] virtual std::vector<double> parameters(std::span<const double> theta) const = 0;
};

}  // namespace finescale
