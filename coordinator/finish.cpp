// SPDX-License-Identifier: Apache-2.0
#include "coordinator/finish.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/contrasts.h"
#include "coordinator/metrics/metrics_file.h"
#include "coordinator/metrics/tensorboard.h"
#include "coordinator/report/report.h"
#include "core/error.h"

namespace finescale {

std::optional<Study> study_campaign(const Campaign& campaign, std::string* why_not) {
  try {
    return run_study(law_points(campaign, campaign.sweep.laws().metric()), study_options(campaign));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) {
      throw;
    }
    *why_not = error.what();
    return std::nullopt;
  }
}

namespace {

// A sweep of one data budget has no axis for it: its rows are drawn and listed at that budget.
void add_only_budget(const config::Sweep& sweep, ReportInput& input) {
  const std::string& x = input.x;
  std::int64_t budget = 0;
  for (const config::Stage& stage : sweep.trial().stages()) {
    budget = stage.train().has_data_budget() ? stage.train().data_budget() : budget;
  }
  const bool is_axis = std::any_of(sweep.axes().begin(), sweep.axes().end(), [&](const auto& axis) {
    return axis.path() == x || axis.path().ends_with("." + x);
  });
  if (x != "data_budget" || is_axis || budget == 0) {
    return;
  }
  for (TrialRow& row : input.rows) {
    row.axes[x] = std::to_string(budget);
  }
}

}  // namespace

ReportInput report_input(const Campaign& campaign) {
  ReportInput input;
  input.campaign = campaign.info;
  input.rows = campaign.rows;
  input.metric = campaign.sweep.laws().metric();
  input.x = campaign.sweep.laws().x();
  add_only_budget(campaign.sweep, input);
  const auto& tuned_per = campaign.sweep.tune().per();
  input.tuned_per.assign(tuned_per.begin(), tuned_per.end());
  input.claim = campaign.sweep.study().claim();
  input.work = campaign.sweep.study().title();
  input.notes = {campaign.sweep.study().notes().begin(), campaign.sweep.study().notes().end()};
  input.contrasts = decide_contrasts(campaign.sweep, campaign.rows);
  if (std::optional<Study> study = study_campaign(campaign, &input.no_study_reason)) {
    input.study = std::move(*study);
  }
  return input;
}

std::string write_campaign_report(const Campaign& campaign) {
  const ReportInput input = report_input(campaign);
  write_metrics_file(campaign, input.study, campaign.directory + "/metrics.h5");
  return write_report(input, campaign.directory + "/report");
}

void finish_campaign(const std::string& directory, Logger& logger) {
  const Campaign campaign = read_campaign(directory);
  std::string why_not;
  const std::optional<Study> study = study_campaign(campaign, &why_not);
  const std::string page = write_campaign_report(campaign);
  if (campaign.sweep.tensorboard()) {
    write_tensorboard(campaign, campaign.directory + "/tensorboard");
  }
  if (study) {
    logger.info("\n{}\n", study->recommendation);
  } else {
    logger.info("no laws were fitted: {}", why_not);
  }
  if (campaign.sweep.contrasts_size() > 0) {
    const std::vector<ContrastResult> results = decide_contrasts(campaign.sweep, campaign.rows);
    if (campaign.sweep.has_study()) {  // `study` prints what was found
      logger.info("verdict of study {}: {} (finescale results {} --contrasts)",
                  campaign.sweep.study().number(), decision_name(overall(results)),
                  campaign.sweep.output());
    } else {
      logger.info("\n{}", contrasts_text(campaign.sweep, results));
    }
  }
  logger.info("report: {}", page);
}

}  // namespace finescale
