// SPDX-License-Identifier: Apache-2.0
// One row per trial, as `finescale results` prints it and the report draws it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace finescale {

struct CurvePoint {
  std::int64_t step = 0;
  double tokens = 0;  // seen up to and including this step
  double loss = 0;
  double lr = 0;
  double grad_norm = 0;
};
struct AnswerSample {
  std::string set, prompt, expected, answer;
};
struct TrialRow {
  std::string trial;  // t0001, tune-0003
  std::string state;  // pending running done failed stopped diverged
  std::string why;    // of failed, stopped, diverged
  bool is_tuning = false;
  std::map<std::string, std::string> axes;   // path -> canonical value text
  std::map<std::string, std::string> tuned;  // path -> value picked by tuning
  std::map<std::string, double> metrics;     // "<set>.<metric>" at the end of the trial
  std::map<std::string, std::int64_t> metric_n;
  std::int64_t tokens = 0;  // trained on in the trial's own stages
  double train_flops = 0;
  double seconds = 0;
  std::map<std::string, std::string> artifacts;  // checkpoint | adapter -> stage key
  std::vector<CurvePoint> curve;                 // training loss of the trial's last train stage
  std::vector<AnswerSample> samples;
  std::vector<std::string> warnings;
};
struct CampaignInfo {
  std::string name;
  std::string sweep_text;  // canonical
  std::string machine;     // one line: cores, ISA, ranks, threads
  std::string version;
  std::string started, ended;  // ISO 8601
  double started_unix = 0;     // seconds
  double wall_seconds = 0;
  std::int64_t stages_unshared = 0, stages = 0;
  double train_flops_unshared = 0, train_flops = 0;
  std::int64_t train_tokens = 0;
  std::vector<TrialRow>
      base_rows;  // pretrain stage as a row, and the untouched base's metrics if measured
};

}  // namespace finescale
