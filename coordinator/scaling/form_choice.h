// SPDX-License-Identifier: Apache-2.0
// Fits every form to one group and chooses by rolling origin: the largest 1, 2, 3 budgets are held
// out in turn, each form is fitted to the rest and predicts them. Built once per group; `refit` is
// the inner loop of the resampling and starts from the fits of the data.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "coordinator/scaling/fit.h"
#include "coordinator/scaling/group_data.h"

namespace finescale {

inline constexpr int kMaxOrigins = 3;

struct FormFits {
  std::vector<LawFitResult> full;                  // per form
  std::vector<std::vector<LawFitResult>> origins;  // per form, per number of budgets held out
  std::vector<double> held_out;                    // per form: RMSD of ln L; NaN when impossible
  int chosen = 0;                                  // index of the form
};

class FormChoice {
 public:
  // Forms that the group has too few cells for are left out; throws kData when none is left, saying
  // how many budgets are needed.
  FormChoice(const GroupData& group, const std::vector<std::string>& forms,
             const FitOptions& options);

  [[nodiscard]] FormFits fit();  // of the data, global search
  void refit(const LawTable& rows, const FormFits& start, FormFits& out);

  [[nodiscard]] const std::vector<const Law*>& laws() const { return laws_; }
  [[nodiscard]] int num_origins() const { return num_origins_; }
  [[nodiscard]] const std::vector<std::string>& left_out() const { return left_out_; }
  // The table that is fitted: the rows, or cell means for least squares.
  [[nodiscard]] const LawTable& fitted_table() const { return full_; }

 private:
  void load(const LawTable& rows);
  [[nodiscard]] double origin_error(const Law& law, const Theta& theta, int origin);
  void choose(FormFits& fits) const;

  const GroupData* group_;
  bool merge_;
  std::vector<const Law*> laws_;
  std::vector<std::string> left_out_;
  int num_origins_ = 0;
  LawTable full_;
  std::vector<std::size_t> kept_;  // rows of full_ that origin k keeps: the first kept_[k]
  std::vector<LawTable> subsets_;  // the kept rows
  std::vector<std::vector<Fitter>> fitters_;  // per form: full, origin 1, 2, 3
  std::vector<double> value_;
};

}  // namespace finescale
