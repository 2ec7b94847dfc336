// SPDX-License-Identifier: Apache-2.0
// A campaign with realistic numbers: spelling to pronunciation, full fine-tuning against LoRA,
// eight budgets, three seeds (one for the two largest budgets), tuned rates, one diverged trial.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "coordinator/report/report.h"

namespace finescale {

struct FixtureMethod {
  const char* axis;
  const char* group;
  double flops_per_token;
  double seconds_per_token;
  std::vector<double> loss;         // mean at each budget
  std::vector<double> half_spread;  // over seeds
};

inline const std::vector<double>& fixture_budgets() {
  static const std::vector<double> kBudgets = {100, 200, 400, 800, 1600, 3200, 6400, 12800};
  return kBudgets;
}

inline const std::vector<FixtureMethod>& fixture_methods() {
  static const std::vector<FixtureMethod> kMethods = {
      {"{full: {}}",
       "full",
       6.3e6,
       3.1e-4,
       {3.144, 2.553, 2.433, 2.218, 1.806, 1.366, 0.870, 0.533},
       {.134, .045, .008, .020, .023, .021, 0, 0}},
      {"{lora: {rank: 8}}",
       "lora rank 8",
       4.4e6,
       2.4e-4,
       {3.747, 3.665, 3.664, 3.432, 3.190, 2.856, 2.506, 2.070},
       {.042, .019, .031, .025, .007, .030, 0, 0}}};
  return kMethods;
}

// A training loss that falls from 9.4 towards `end`, with the noise of batches.
inline std::vector<CurvePoint> fixture_curve(double tokens, double end, unsigned seed) {
  std::vector<CurvePoint> curve;
  const int steps = std::max(60, static_cast<int>(tokens / 512));
  unsigned state = seed * 2654435761U + 12345U;
  for (int i = 1; i <= steps; ++i) {
    state = state * 1664525U + 1013904223U;
    const double noise = (static_cast<double>(state >> 8U) / (1U << 24U) - 0.5) * 0.35;
    const double part = static_cast<double>(i) / steps;
    const double loss = (end * 0.95 + (9.4 - end) * std::exp(-12 * part)) * (1 + noise);
    curve.push_back({i, tokens * part, loss, 3e-3 * std::min(1.0, 5 * (1 - part)), 1 + noise});
  }
  return curve;
}

inline std::vector<AnswerSample> fixture_answers(std::size_t method) {
  const char* const answers[2][3] = {{"k@n'sId@r", "\"m{n<script>", "s\"pElIN"},
                                     {"k@n's@d@r", "m{n&", "sp@lIN"}};
  const char* const prompts[3][2] = {
      {"consider", "k@n'sId@r"}, {"man", "\"m{n"}, {"spelling", "s\"pElIN"}};
  std::vector<AnswerSample> samples;
  for (std::size_t i = 0; i < 3; ++i) {
    samples.push_back({"held_out", prompts[i][0], prompts[i][1], answers[method][i]});
  }
  return samples;
}

inline TrialRow fixture_row(std::size_t method, std::size_t budget, int seed) {
  const FixtureMethod& kind = fixture_methods()[method];
  const double D = fixture_budgets()[budget];
  TrialRow row;
  row.state = "done";
  row.axes = {{"seed", std::to_string(seed)},
              {"train.data_budget", std::to_string(static_cast<int>(D))},
              {"train.method", kind.axis}};
  const double loss = kind.loss[budget] + (seed - 2) * kind.half_spread[budget];
  row.metrics = {{"held_out.loss", loss}, {"held_out.exact_match", std::exp(-2.4 * loss)}};
  row.metric_n = {{"held_out.loss", 5120}, {"held_out.exact_match", 512}};
  row.tokens = static_cast<std::int64_t>(2 * 16 * std::max(D, 480.0));
  row.train_flops = kind.flops_per_token * static_cast<double>(row.tokens);
  row.seconds = 0.4 + kind.seconds_per_token * static_cast<double>(row.tokens);
  row.tuned = {{"train.learning_rate", method == 0 ? "0.003" : "0.008"}};
  row.artifacts = {{"checkpoint", "0123456789abcdef"}};
  row.curve = fixture_curve(static_cast<double>(row.tokens), loss,
                            static_cast<unsigned>(100 * budget + 10 * method) + seed);
  row.samples = fixture_answers(method);
  row.warnings = {"3 response tokens never occurred in pretraining"};
  return row;
}

inline std::vector<TrialRow> fixture_tuning_rows() {
  const double rates[2][4] = {{5e-4, 1.5e-3, 3e-3, 6e-3}, {1e-3, 2e-3, 4e-3, 8e-3}};
  const double losses[2][4] = {{2.240, 1.920, 1.806, 1.834}, {3.452, 3.310, 3.190, 3.184}};
  std::vector<TrialRow> rows;
  for (std::size_t method = 0; method < 2; ++method) {
    for (std::size_t i = 0; i < 4; ++i) {
      TrialRow row = fixture_row(method, 4, 1);
      row.trial = "tune-000" + std::to_string(4 * method + i + 1);
      row.is_tuning = true;
      char text[32];
      std::snprintf(text, sizeof text, "%g", rates[method][i]);
      row.tuned = {{"train.learning_rate", text}};
      row.metrics["held_out.loss"] = losses[method][i];
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

inline CampaignInfo fixture_campaign() {
  CampaignInfo info;
  info.name = "pronounce";
  info.sweep_text = "name: pronounce\nbase:\n  preset: demo-1m\n# <not a tag> & \"quoted\"\n";
  info.machine = "2 cores, AVX2, 1 rank x 2 threads";
  info.version = "0.1.0";
  info.started = "2026-11-24T10:12:00Z";
  info.ended = "2026-11-24T10:31:00Z";
  info.wall_seconds = 1140;
  info.stages_unshared = 120;
  info.stages = 93;
  info.train_flops_unshared = 2.9e13;
  info.train_flops = 2.1e13;
  info.train_tokens = 3456789;
  TrialRow base;
  base.trial = "base";
  base.state = "done";
  base.metrics = {{"held_out.loss", 9.38}};
  base.samples = {{"held_out", "consider", "k@n'sId@r", "the first of"},
                  {"held_out", "man", "\"m{n", ""},
                  {"held_out", "spelling", "s\"pElIN", "the act of spell"}};
  info.base_rows = {base};
  return info;
}

inline LawFit fixture_fit(const std::string& group, const std::string& form, double rmsd) {
  LawFit fit;
  fit.group = group;
  fit.form = form;
  fit.n = 8;
  fit.parameters = {{"B", 512.5}, {"D_l", 148.2}, {"E", 0.0317}, {"beta", 0.7321}};
  fit.intervals = {{"B", {401.5, 633.0}}, {"beta", {0.701, 0.766}}};
  fit.objective = 0.0123;
  fit.rmsd = rmsd;
  fit.held_out_rmsd = 2 * rmsd;
  return fit;
}

// Hand-made, so that the tests of the page do not depend on the fitting.
inline Study fixture_study() {
  Study study;
  for (const FixtureMethod& method : fixture_methods()) {
    const std::string group = method.group;
    study.fits.push_back(fixture_fit(group, "power", 0.17));
    study.fits.push_back(fixture_fit(group, "rectified", 0.04));
    study.chosen[group] = "rectified";
    Band& band = study.bands[group];
    for (std::size_t i = 0; i < method.loss.size(); ++i) {
      band.D.push_back(fixture_budgets()[i]);
      band.middle.push_back(method.loss[i] * 1.02);
      band.low.push_back(method.loss[i] * 0.95);
      band.high.push_back(method.loss[i] * 1.08);
    }
    study.held_out[group] = {{12800, method.loss[7], method.loss[7] * 1.09, method.loss[7] * 1.6}};
  }
  study.fits[0].identifiable = false;
  study.fits[0].why_not = "E is at its bound 0";
  study.crossovers = {{"lora rank 8", "full", 640, {410, 905}, 0.83}};
  Answer answer;
  answer.question = "target";
  answer.method = "full";
  answer.D = 4321;
  answer.interval = Interval{3987, 4765};
  answer.cost = 12.5;
  answer.probability_best = 0.97;
  answer.text = "full reaches 1.2 with about 4,321 examples";
  study.answers = {answer};
  study.notes = {"few trunks: parametric bootstrap used"};
  study.recommendation = "Use full fine-tuning. With 12,800 examples expect a loss of 0.53.";
  study.options.target = 1.2;
  return study;
}

inline ReportInput fixture_input() {
  ReportInput input;
  input.campaign = fixture_campaign();
  input.metric = "held_out.loss";
  input.tuned_per = {"train.method"};
  input.rows = fixture_tuning_rows();
  for (std::size_t method = 0; method < 2; ++method) {
    for (std::size_t budget = 0; budget < fixture_budgets().size(); ++budget) {
      for (int seed = 1; seed <= (budget < 6 ? 3 : 1); ++seed) {
        TrialRow row = fixture_row(method, budget, seed);
        row.trial = "t" + std::to_string(1001 + input.rows.size()).substr(1);
        input.rows.push_back(std::move(row));
      }
    }
  }
  TrialRow bad = fixture_row(0, 3, 4);
  bad.trial = "t0999";
  bad.state = "diverged";
  bad.why = "the loss became infinite at step 41 <nan>";
  bad.metrics.clear();
  bad.curve.clear();
  bad.samples.clear();
  input.rows.push_back(bad);
  input.study = fixture_study();
  return input;
}

}  // namespace finescale
