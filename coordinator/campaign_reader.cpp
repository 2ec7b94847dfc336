// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign_reader.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <set>

#include "configs/canonical.h"
#include "configs/stages.h"
#include "coordinator/status.h"
#include "coordinator/trial_text.h"
#include "coordinator/tuning.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

// store.sqlite and its write-ahead log, copied: the copy replays the log by itself.
class StoreCopy {
 public:
  explicit StoreCopy(const std::string& directory) {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "finescale-store-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      throw Error(ErrorKind::kResource, "cannot make a temporary directory", pattern);
    }
    path_ = pattern;
    for (const char* name : {"/store.sqlite-wal", "/store.sqlite"}) {
      if (path_exists(directory + name)) {
        std::filesystem::copy_file(directory + name, path_ + name);
      }
    }
  }
  ~StoreCopy() {
    std::error_code code;
    std::filesystem::remove_all(path_, code);
  }
  StoreCopy(const StoreCopy&) = delete;
  StoreCopy& operator=(const StoreCopy&) = delete;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

std::string iso_time(double unix_seconds) {
  const auto seconds = static_cast<std::time_t>(unix_seconds);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

StageEntries stage_entries(const Campaign& campaign) {
  StageEntries entries;
  for (const auto& [key, stage] : campaign.stages) {
    StageEntry entry;
    entry.stored.key = key;
    entry.stored.state = stage.state;
    entry.stored.result = stage.result;
    (void)entries.add(std::move(entry));
  }
  return entries;
}

TrialRow make_row(const Campaign& campaign, const PlannedTrial& trial, const StageEntries& entries,
                  const std::set<std::string>& lost_groups) {
  TrialRow row;
  row.trial = trial.id;
  row.is_tuning = trial.is_tuning;
  row.axes = trial.axes;
  row.tuned = trial.tuned;
  const bool stopped = std::find(campaign.stopped.begin(), campaign.stopped.end(), trial.id) !=
                       campaign.stopped.end();
  row.state = planned_state(trial, stopped, entries, lost_groups);
  if (!trial.resolved && row.state == "failed") {
    row.why = "no tuning trial of " + trial.tune_group + " has a result";
  }
  for (std::size_t i = 0; i < trial.stages.size(); ++i) {
    const std::string& key = trial.stages[i];
    const StoredStage& stage = campaign.stages.at(key);
    if (stage.state == StageState::kFailed && row.why.empty()) {
      row.why = trial.names[i] + ": " + stage.error;
    }
    const auto found = campaign.results.find(key);
    if (found == campaign.results.end()) {
      continue;
    }
    const proto::StageResult& result = found->second;
    for (const proto::EvalRow& eval : result.evals()) {
      row.metrics[eval.set() + "." + eval.metric()] = eval.value();
      row.metric_n[eval.set() + "." + eval.metric()] = eval.n();
    }
    for (const proto::Sample& sample : result.samples()) {
      row.samples.push_back({sample.set(), sample.prompt(), sample.expected(), sample.answer()});
    }
    row.warnings.insert(row.warnings.end(), result.warnings().begin(), result.warnings().end());
    if (trial.names[i] == "pretrain" || trial.names[i] == "tokenizer") {
      continue;  // shared: not the trial's own
    }
    row.seconds += result.seconds();
    if (result.steps_size() == 0) {
      if (result.total_parameters() > 0) {  // weights made of weights
        row.artifacts["checkpoint"] = key;
      }
      continue;
    }
    row.tokens += result.tokens();
    row.train_flops += result.train_flops();
    config::StageSpec spec;
    parse_canonical(campaign.specs.at(key), spec);
    row.artifacts[leaves_whole_weights(spec.train().train().method()) ? "checkpoint" : "adapter"] =
        key;
    row.curve.clear();
    double tokens = 0;
    for (const proto::StepRow& step : result.steps()) {
      tokens += static_cast<double>(step.tokens());
      row.curve.push_back({step.step(), tokens, step.loss(), step.lr(), step.grad_norm()});
    }
  }
  return row;
}

void add_totals(Campaign& campaign, Store& store) {
  CampaignInfo& info = campaign.info;
  info.stages = static_cast<std::int64_t>(campaign.stages.size());
  info.stages_unshared = std::stoll(store.meta("stages_unshared").value_or("0"));
  for (const PlannedTrial& trial : campaign.trials) {
    for (const std::string& key : trial.stages) {
      if (const auto found = campaign.results.find(key); found != campaign.results.end()) {
        info.train_flops_unshared += found->second.train_flops();
      }
    }
  }
  for (const auto& [key, result] : campaign.results) {
    info.train_flops += result.train_flops() - result.inherited().train_flops();
    info.train_tokens += result.tokens() - result.inherited().tokens();
    if (info.machine.empty()) {
      info.machine = result.environment();
    }
  }
}

void add_base_rows(Campaign& campaign) {
  for (const auto& [key, result] : campaign.results) {
    if (campaign.stages.at(key).label != "pretrain") {
      continue;
    }
    TrialRow row;
    row.trial = "pretrain";
    row.state = "done";
    row.tokens = result.tokens();
    row.train_flops = result.train_flops();
    row.seconds = result.seconds();
    double tokens = 0;
    for (const proto::StepRow& step : result.steps()) {
      tokens += static_cast<double>(step.tokens());
      row.curve.push_back({step.step(), tokens, step.loss(), step.lr(), step.grad_norm()});
    }
    campaign.info.base_rows.push_back(std::move(row));
  }
}

}  // namespace

std::string short_value(const std::string& value) {
  std::string out;
  bool is_quoted = false;  // braces and colons are part of a text
  for (const char c : value) {
    is_quoted = is_quoted != (c == '"');
    if (c == '"' || (!is_quoted && (c == '{' || c == '}' || c == ':'))) {
      out += out.empty() || out.back() == ' ' ? "" : " ";
    } else if (c != ' ' || (!out.empty() && out.back() != ' ')) {
      out += c;
    }
  }
  while (!out.empty() && out.back() == ' ') {
    out.pop_back();
  }
  return out;
}

Campaign read_campaign(const std::string& directory) {
  if (!path_exists(directory + "/store.sqlite")) {
    throw Error(ErrorKind::kConfig, "no campaign is here", directory,
                "give the output directory of a sweep (finescale run)");
  }
  Campaign campaign;
  campaign.directory = std::filesystem::absolute(directory).lexically_normal().string();
  const StoreCopy copy(directory);
  Store store(copy.path());
  const std::optional<std::string> text = store.meta("sweep");
  if (!text) {
    throw Error(ErrorKind::kConfig, "the campaign was never started", directory);
  }
  parse_canonical(*text, campaign.sweep);
  campaign.info.name = campaign.sweep.name();
  campaign.info.sweep_text = *text;
  campaign.info.version = FINESCALE_VERSION;
  campaign.info.started_unix = std::stod(store.meta("started").value_or("0"));
  campaign.info.started = iso_time(campaign.info.started_unix);
  for (StoredStage& stage : store.stages()) {
    if (!stage.result.empty()) {
      proto::StageResult result;
      if (result.ParseFromString(stage.result)) {
        campaign.results.emplace(stage.key, std::move(result));
      }
    }
    campaign.specs.emplace(stage.key, store.spec_of(stage));
    const std::string key = stage.key;
    if (!campaign.stages.emplace(key, std::move(stage)).second) {
      campaign.twice.push_back(key);
    }
  }
  for (const StoredTrial& trial : store.trials()) {
    campaign.trials.push_back(trial_from_text(trial.text));
    if (trial.stopped) {
      campaign.stopped.push_back(trial.id);
    }
  }
  campaign.pruned = pruned_stages(store);
  const StageEntries entries = stage_entries(campaign);
  std::set<std::string> lost;
  if (campaign.sweep.has_tune()) {
    lost = undecidable_groups(campaign.sweep.tune(), campaign.trials, entries, store.tuned());
  }
  for (const PlannedTrial& trial : campaign.trials) {
    campaign.rows.push_back(make_row(campaign, trial, entries, lost));
  }
  add_totals(campaign, store);
  add_base_rows(campaign);
  campaign.info.wall_seconds = published_wall_seconds(directory);
  return campaign;
}

std::vector<LawPoint> law_points(const Campaign& campaign, const std::string& metric) {
  std::vector<LawPoint> points;
  const std::string suffix = "." + campaign.sweep.laws().x();
  for (const TrialRow& row : campaign.rows) {
    const auto value = row.metrics.find(metric);
    if (row.is_tuning || row.state != "done" || value == row.metrics.end() ||
        !(value->second > 0)) {
      continue;
    }
    LawPoint point;
    point.loss = value->second;
    for (const auto& [path, text] : row.axes) {
      if (path == campaign.sweep.laws().x() || path.ends_with(suffix)) {
        point.D = std::stod(text);
      } else if (path == "seed") {
        point.trunk = "seed " + text;
      } else {
        point.group += (point.group.empty() ? "" : ", ") + short_value(text);
      }
    }
    if (point.group.empty()) {
      point.group = "all";
    }
    point.trunk = point.trunk.empty() ? "" : point.group + " " + point.trunk;
    if (point.D > 0) {
      points.push_back(std::move(point));
    }
  }
  return points;
}

StudyOptions study_options(const Campaign& campaign) {
  const config::Laws& laws = campaign.sweep.laws();
  StudyOptions options;
  options.forms = {laws.forms().begin(), laws.forms().end()};
  options.least_squares = laws.loss() == config::FIT_LOSS_LEAST_SQUARES;
  options.bootstrap = laws.bootstrap();
  options.level = laws.level();
  options.seed = static_cast<unsigned long long>(laws.seed());
  for (const config::Target& target : laws.target()) {
    if (target.metric() == laws.metric()) {
      options.target = target.value();
    }
  }
  options.cost_per_example = campaign.sweep.costs().per_example();
  options.cost_per_gpu_hour = campaign.sweep.costs().per_gpu_hour();
  const config::Budget& budget = campaign.sweep.budget();
  if (budget.has_money()) {
    options.budget_money = budget.money();
  } else if (budget.has_gpu_hours()) {
    options.budget_gpu_hours = budget.gpu_hours();
  } else if (budget.has_examples()) {
    options.budget_examples = budget.examples();
  }
  std::map<std::string, std::pair<double, double>> time;  // group -> seconds, examples
  for (const TrialRow& row : campaign.rows) {
    if (row.is_tuning || row.state != "done") {
      continue;
    }
    std::string group;
    double examples = 0;
    for (const auto& [path, text] : row.axes) {
      if (path.ends_with("." + laws.x())) {
        examples = std::stod(text);
      } else if (path != "seed") {
        group += (group.empty() ? "" : ", ") + short_value(text);
      }
    }
    auto& sums = time[group.empty() ? "all" : group];
    sums.first += row.seconds;
    sums.second += examples;
  }
  for (const auto& [group, sums] : time) {
    if (sums.second > 0) {
      options.seconds_per_example[group] =
          sums.first / sums.second * campaign.sweep.resources().ranks_per_gang();
    }
  }
  return options;
}

}  // namespace finescale
