// SPDX-License-Identifier: Apache-2.0
// Fits every form to one group, refuses those that miss the cell means by more than seeds differ,
// and chooses among the rest by rolling origin: the largest 1, 2, 3 budgets are held out in turn,
// each form is fitted to the rest and predicts them. Built once per group; `refit` is the inner
// loop of the resampling and starts from the fits of the data.
//
// With replicated cells the fit is of the cell means, and Huber's delta is widened to the scatter
// of a mean: at 1e-3 and noise of a percent the loss would be the sum of absolute errors, which
// jumps from point to point.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "coordinator/scaling/fit.h"
#include "coordinator/scaling/group_data.h"
#include "coordinator/scaling/lack_of_fit.h"
#include "coordinator/scaling/noise.h"

namespace finescale {

inline constexpr int kMaxOrigins = 3;
inline constexpr int kNoForm = -1;

struct FormFits {
  std::vector<LawFitResult> full;                  // per form
  std::vector<std::vector<LawFitResult>> origins;  // per form, per number of budgets held out
  std::vector<double> held_out;                    // per form: RMSD of ln L; NaN when impossible
  std::vector<LackOfFit> misfit;                   // per form, of the full fit of the data
  int chosen = 0;                                  // index of the form; kNoForm: all are refused
};

class FormChoice {
 public:
  // Forms that the group has too few cells for are left out; throws kData when none is left, saying
  // how many budgets are needed.
  FormChoice(const GroupData& group, const std::vector<std::string>& forms,
             const FitOptions& options, const Noise& noise);

  [[nodiscard]] FormFits fit();  // of the data, global search
  // Forms that the data refuse stay refused; there must be one that is not for `out.chosen`.
  void refit(const LawTable& rows, const FormFits& start, FormFits& out);

  [[nodiscard]] const std::vector<const Law*>& laws() const { return laws_; }
  [[nodiscard]] int num_origins() const { return num_origins_; }
  [[nodiscard]] const std::vector<std::string>& left_out() const { return left_out_; }
  [[nodiscard]] double delta() const { return delta_; }  // Huber's, that was used

 private:
  void load(const LawTable& rows);
  [[nodiscard]] double origin_error(const Law& law, const Theta& theta, int origin);
  void test_misfits(FormFits& fits);
  [[nodiscard]] std::vector<double> scores(const FormFits& fits) const;
  void choose(FormFits& fits, const std::vector<LackOfFit>& misfit) const;

  const GroupData* group_;
  Noise noise_;
  bool merge_;
  double delta_;
  std::vector<double> count_;  // rows of each cell
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
