// SPDX-License-Identifier: Apache-2.0
// A scaling law: a parametric form L(D[, N[, U]]) fitted in log space. One .cpp per form;
// registry.cpp lists them.
//
// Internal parameters are logarithms where the printed ones are positive (a = ln A, e = ln E), and
// kLogZero stands for a parameter that is exactly 0. The hot path is `evaluate`: one call for a
// whole table (structure of arrays), no allocation, analytic gradient.
#pragma once

#include <array>
#include <cstddef>
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

// The same points as arrays. y = ln loss. Logarithms of N are 0 where N is 0.
struct LawTable {
  std::vector<double> ln_D, ln_N, D, N, U, y, weight;
  [[nodiscard]] std::size_t size() const { return y.size(); }
  [[nodiscard]] double min_y() const;
  [[nodiscard]] double max_y() const;
};
[[nodiscard]] LawTable make_law_table(std::span<const LawPoint> points);

inline constexpr double kLogZero = -700;  // ln of a parameter that is 0
inline constexpr int kMaxLawParameters = 8;
inline constexpr int kMaxLawTerms = 3;
using Theta = std::array<double, kMaxLawParameters>;

// Box of the internal parameters for one table. `zero_below`: reaching `low` means that the printed
// parameter may be 0; the fit then tries kLogZero.
struct LawBounds {
  Theta low{}, high{};
  std::array<bool, kMaxLawParameters> zero_below{};
};

class Law {
 public:
  virtual ~Law() = default;
  [[nodiscard]] virtual const std::string& name() const = 0;
  [[nodiscard]] virtual std::vector<std::string> parameter_names()
      const = 0;  // as printed: E, A, alpha, ...
  [[nodiscard]] virtual bool needs_size() const { return false; }
  [[nodiscard]] virtual bool needs_unique() const { return false; }

  // value[i] = ln L of row i; jacobian (may be null) is column-major, rows x parameters.
  virtual void evaluate(std::span<const double> theta, const LawTable& table, double* value,
                        double* jacobian) const = 0;
  [[nodiscard]] virtual LawBounds bounds(const LawTable& table) const = 0;

  // Variable projection: L = sum_k c_k phi_k(x; q) with c >= 0. `candidates` lists the q to try,
  // `terms` fills phi (column-major, rows x num_terms), `assemble` gives the internal parameters.
  // False when the form is not separable; it then overrides `starts`.
  [[nodiscard]] virtual int num_terms() const = 0;
  [[nodiscard]] virtual std::vector<Theta> candidates(const LawTable& table) const = 0;
  virtual void terms(const Theta& q, const LawTable& table, double* columns) const = 0;
  [[nodiscard]] virtual Theta assemble(const Theta& q, const double* coefficients) const = 0;

  // internal -> printed parameters.
  [[nodiscard]] virtual std::vector<double> parameters(std::span<const double> theta) const = 0;

  [[nodiscard]] int num_parameters() const;
  [[nodiscard]] double log_loss(std::span<const double> theta, const LawPoint& x) const;
  // Value and gradient of log loss with respect to internal parameters.
  [[nodiscard]] double log_loss_gradient(std::span<const double> theta, const LawPoint& x,
                                         std::span<double> gradient) const;
};

// Throws kConfig for an unknown name, listing the known ones.
[[nodiscard]] const Law& find_law(const std::string& name);
[[nodiscard]] const std::vector<std::string>& law_names();

}  // namespace finescale
