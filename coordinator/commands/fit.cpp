// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "coordinator/commands/command.h"
#include "coordinator/commands/fit_table.h"
#include "coordinator/finish.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

struct FitArguments {
  std::string directory;
  std::string csv;
  std::vector<std::string> forms;
  std::string loss;
  int bootstrap = -1;
  long long seed = -1;
  double level = 0;
  std::string target;
  std::string budget;
};

double number(const std::string& text, const char* what) {
  try {
    std::size_t used = 0;
    const double value = std::stod(text, &used);
    if (used == text.size()) {
      return value;
    }
  } catch (const std::exception&) {
    // The error below says it.
  }
  throw Error(ErrorKind::kConfig, std::string(what) + " is \"" + text + "\", must be a number");
}

void apply(const FitArguments& a, StudyOptions& options) {
  if (!a.forms.empty()) {
    options.forms = a.forms;
  }
  if (!a.loss.empty()) {
    options.least_squares = a.loss == "least_squares";
  }
  options.bootstrap = a.bootstrap >= 0 ? a.bootstrap : options.bootstrap;
  options.seed = a.seed >= 0 ? static_cast<unsigned long long>(a.seed) : options.seed;
  options.level = a.level > 0 ? a.level : options.level;
  if (!a.target.empty()) {
    options.target = number(a.target, "--target");
  }
  if (!a.budget.empty()) {  // 1000 (examples), money:50, gpu_hours:2
    const std::size_t colon = a.budget.find(':');
    const std::string kind = colon == std::string::npos ? "examples" : a.budget.substr(0, colon);
    const double value =
        number(a.budget.substr(colon == std::string::npos ? 0 : colon + 1), "--budget");
    if (kind == "money") {
      options.budget_money = value;
    } else if (kind == "gpu_hours") {
      options.budget_gpu_hours = value;
    } else if (kind == "examples") {
      options.budget_examples = value;
    } else {
      throw Error(ErrorKind::kConfig, "--budget " + a.budget + ": unknown kind " + kind, {},
                  "N (examples), money:N or gpu_hours:N");
    }
  }
}

void print(const Study& study) {
  for (const LawFit& fit : study.fits) {
    const auto chosen = study.chosen.find(fit.group);
    std::cout << fit.group << ": " << fit.form
              << (chosen != study.chosen.end() && chosen->second == fit.form ? " (chosen)" : "")
              << "\n   ";
    for (const auto& [name, value] : fit.parameters) {
      std::cout << " " << name << " = " << value;
      if (const auto interval = fit.intervals.find(name); interval != fit.intervals.end()) {
        std::cout << " [" << interval->second.low << ", " << interval->second.high << "]";
      }
    }
    std::cout << "\n    rmsd " << fit.rmsd << ", objective " << fit.objective;
    if (fit.held_out_rmsd) {
      std::cout << ", held-out " << *fit.held_out_rmsd;
    }
    std::cout << (fit.identifiable ? "" : "\n    not identified: " + fit.why_not) << "\n";
  }
  for (const Answer& answer : study.answers) {
    std::cout << "- " << answer.text << "\n";
  }
  for (const std::string& note : study.notes) {
    std::cout << "note: " << note << "\n";
  }
  std::cout << "\n" << study.recommendation << "\n";
}

int fit(const FitArguments& a, bool json) {
  if (!a.loss.empty() && a.loss != "huber" && a.loss != "least_squares") {
    throw Error(ErrorKind::kConfig, "--loss is \"" + a.loss + "\", must be huber or least_squares");
  }
  std::vector<LawPoint> points;
  StudyOptions options;
  if (!a.csv.empty()) {
    if (!path_exists(a.csv)) {
      throw Error(ErrorKind::kConfig, "does not exist", a.csv,
                  "give a table with columns D,loss[,N][,U][,group][,weight]");
    }
    points = read_fit_table(a.csv);
  } else {
    const Campaign campaign = read_campaign(campaign_directory(a.directory));
    points = law_points(campaign, campaign.sweep.laws().metric());
    options = study_options(campaign);
  }
  apply(a, options);
  const Study study = run_study(points, options);
  if (json) {
    std::cout << study_json(study) << "\n";
  } else {
    print(study);
  }
  return 0;
}

}  // namespace

void add_fit(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "fit", "fit scaling laws to a campaign or a table; answers and a recommendation");
  const auto a = std::make_shared<FitArguments>();
  command->add_option("DIR", a->directory, "campaign directory");
  command->add_option("--csv", a->csv, "table with columns D,loss[,N][,U][,group][,weight]");
  command->add_option("--form", a->forms, "forms to fit (default power power_offset rectified)")
      ->delimiter(',');
  command->add_option("--loss", a->loss,
                      "huber (delta 1e-3, default) or least_squares, on log loss");
  command->add_option("--bootstrap", a->bootstrap, "replicates for intervals");
  command->add_option("--seed", a->seed, "seed of the resampling");
  command->add_option("--level", a->level, "level of the intervals, e.g. 0.8");
  command->add_option("--target", a->target, "loss to reach: how much data does each method need?");
  command->add_option("--budget", a->budget,
                      "N examples, money:N or gpu_hours:N: what is best under it?");
  command->add_flag("--json", context.json, "as JSON on standard output");
  command->callback([a, &context] { context.exit_code = fit(*a, context.json); });
}

}  // namespace finescale
