// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/study.h"

#include <algorithm>
#include <cmath>

#include "coordinator/scaling/study_parts.h"
#include "core/error.h"

namespace finescale {
namespace {

void check_options(const StudyOptions& options) {
  const auto refuse = [](const std::string& message, const std::string& where) {
    throw Error(ErrorKind::kConfig, message, where);
  };
  if (!(options.level > 0 && options.level < 1)) {
    refuse("the level of the intervals must lie between 0 and 1", "laws.level");
  }
  if (options.bootstrap < 0) {
    refuse("the number of replicates must be at least 0", "laws.bootstrap");
  }
  if (options.target && !(*options.target > 0)) {
    refuse("the target loss must be above 0", "laws.target");
  }
}

// Which forms were refused, where another is left; the recommendation speaks of the other case.
void note_refusals(const std::vector<GroupStudy>& groups, Study& study) {
  for (const GroupStudy& group : groups) {
    std::string names;
    double least = 1;
    for (std::size_t f = 0; f < group.laws.size(); ++f) {
      if (refused(group.fits.misfit[f])) {
        names += (names.empty() ? "" : ", ") + group.laws[f]->name();
        least = std::min(least, group.fits.misfit[f].rms);
      }
    }
    if (group.has_form && !names.empty()) {
      study.notes.push_back(group.data.name + ": not chosen because they miss the measured means " +
                            "by " + share_text(std::expm1(least)) +
                            " or more, beyond what seeds explain: " + names);
    }
  }
}

void note_resampling(const std::vector<GroupStudy>& groups, Study& study) {
  bool few = false;
  bool single = false;
  bool unmarked = false;
  for (const GroupStudy& group : groups) {
    few = few || (group.data.has_trunks && group.resampling == Resampling::kParametric);
    const bool replicated = group.noise.from_replicates;
    unmarked = unmarked || (replicated && !group.data.has_trunks);
    single = single || (group.noise.df_between == 0 && !replicated);
    for (const std::string& reason : group.left_out) {
      study.notes.push_back(group.data.name + ": " + reason);
    }
    bool uses_size = false;
    for (const Law* law : group.laws) {
      uses_size = uses_size || law->needs_size();
    }
    if (uses_size && group.data.N_varies) {
      study.notes.push_back(
          group.data.name +
          ": curves and answers are for its largest size, N = " + number_text(group.data.N));
    }
  }
  if (few) {
    study.notes.push_back(
        "fewer than 5 seeds: intervals come from a hierarchical parametric bootstrap, with the "
        "noise between and within seeds estimated from the runs");
  }
  if (unmarked) {
    study.notes.push_back(
        "runs of one budget carry no seed: they count as independent of each other and of the runs "
        "of other budgets");
  }
  if (single) {
    study.notes.push_back(
        "some method has one run per budget or one seed: how much seeds differ cannot be seen, and "
        "intervals leave it out");
  }
}

}  // namespace

Study run_study(const std::vector<LawPoint>& points, const StudyOptions& options) {
  check_options(options);
  Study study;
  study.options = options;
  if (study.options.forms.empty()) {
    study.options.forms = StudyOptions{}.forms;
  }
  if (points.empty()) {
    throw Error(ErrorKind::kData, "there are no points to fit", "", "finish some trials first");
  }
  FitOptions fit;
  fit.least_squares = options.least_squares;
  std::vector<GroupStudy> groups;
  unsigned long long stream = 0;
  for (GroupData& data : split_groups(points)) {
    groups.push_back(study_group(std::move(data), study.options.forms, fit, options.bootstrap,
                                 options.seed, stream++));
  }
  for (const GroupStudy& group : groups) {
    for (LawFit& one : describe_fits(group, options.level)) {
      study.fits.push_back(std::move(one));
    }
    study.chosen[group.data.name] = group.has_form ? group.chosen.law->name() : kInterpolation;
    study.bands[group.data.name] = make_band(group, options.level);
    study.held_out[group.data.name] = make_held_out(group);
  }
  note_refusals(groups, study);
  note_resampling(groups, study);
  if (options.bootstrap > 0) {
    find_crossovers(groups, options.level, study);
  }
  answer_questions(groups, study);
  study.recommendation = recommend(groups, study);
  return study;
}

}  // namespace finescale
