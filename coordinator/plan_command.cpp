// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan_command.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <thread>

#include <nlohmann/json.hpp>

#include "configs/canonical.h"
#include "configs/mesh_plan.h"
#include "configs/overlap.h"
#include "configs/parse.h"
#include "configs/ranges.h"
#include "coordinator/contrasts.h"
#include "coordinator/plan_schedule.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

// mpirun, MPI_Init and registration of a gang, which all gangs do at the same time; measured with
// Open MPI on two cores.
constexpr double kGangStartSeconds = 0.6;
// Unless the worker says better: one measurement on a shared machine is worth about this much.
constexpr double kLowFactor = 0.8;
constexpr double kHighFactor = 1.4;
// Store, journal, metrics.h5, status.json, coordinator.json, sweep, report, tables, logs.
constexpr int kCampaignFiles = 16;

int num_artifact_files(const config::StageSpec& spec) {
  switch (spec.kind_case()) {
    case config::StageSpec::kPrepare:
    case config::StageSpec::kGenerate:
    case config::StageSpec::kScore:
    case config::StageSpec::kSelect:
      return 3;  // tokenizer.json or data.jsonl, result.pb, manifest.json
    case config::StageSpec::kTrain:
    case config::StageSpec::kTransform:
      return 4;  // and checkpoint.h5
    case config::StageSpec::kEvaluate:
      return 2;
    case config::StageSpec::KIND_NOT_SET:
      break;
  }
  return 0;
}

const StageEstimate& at(const StageEstimates& estimates, const std::string& key) {
  const auto found = estimates.find(key);
  if (found == estimates.end()) {
    throw Error(ErrorKind::kInternal, "no estimate for stage " + key);
  }
  return found->second;
}

// The graph as jobs. Trials of a tuned group wait until all of the group's tuning trials are done.
class Jobs {
 public:
  explicit Jobs(const Plan& plan) {
    for (const PlannedTrial& trial : plan.trials) {
      if (trial.is_tuning) {
        add_stages(plan, trial, {});
        finals_[trial.tune_group].insert(index_.at(trial.stages.back()));
      }
    }
    std::map<std::string, std::size_t> decided;
    for (const PlannedTrial& trial : plan.trials) {
      if (trial.is_tuning) {
        continue;
      }
      std::vector<std::size_t> barrier;
      if (!trial.tune_group.empty()) {
        const auto [group, is_new] = decided.emplace(trial.tune_group, jobs_.size());
        if (is_new) {
          const std::set<std::size_t>& finals = finals_[trial.tune_group];
          jobs_.push_back({0, {finals.begin(), finals.end()}});
          keys_.emplace_back();
        }
        barrier = {group->second};
      }
      add_stages(plan, trial, barrier);
    }
  }

  [[nodiscard]] double makespan(const StageEstimates& estimates, double StageEstimate::*seconds,
                                int gangs) {
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      if (keys_[i].empty()) {
        jobs_[i].seconds = 0;
        continue;
      }
      const StageEstimate& stage = at(estimates, keys_[i]);
      jobs_[i].seconds = stage.*seconds + kHandOverSeconds;
      jobs_[i].seconds_alone = stage.*seconds * stage.alone_factor + kHandOverSeconds;
    }
    return schedule_makespan(jobs_, gangs);
  }

 private:
  void add_stages(const Plan& plan, const PlannedTrial& trial,
                  const std::vector<std::size_t>& barrier) {
    for (const std::string& key : trial.stages) {
      (void)add_stage(plan, key, barrier);
    }
  }

  // Behind its inputs: trunks are no trial's own.
  std::size_t add_stage(const Plan& plan, const std::string& key,
                        const std::vector<std::size_t>& barrier) {
    if (const auto known = index_.find(key); known != index_.end()) {
      return known->second;
    }
    PlannedJob job{0, barrier};
    for (const std::string& input : plan.graph.stages.inputs(key)) {
      job.after.push_back(add_stage(plan, input, barrier));
    }
    index_.emplace(key, jobs_.size());
    jobs_.push_back(std::move(job));
    keys_.push_back(key);
    return jobs_.size() - 1;
  }

  std::map<std::string, std::size_t> index_;  // stage key -> job
  std::map<std::string, std::set<std::size_t>> finals_;
  std::vector<PlannedJob> jobs_;
  std::vector<std::string> keys_;  // of the jobs; "" for a decision
};

void add_limits(PlanReport& report, const SiteFacts& site) {
  const auto add = [&](const char* what, double value, double limit) {
    if (limit > 0) {
      report.limits.push_back({what, value, limit, value <= limit});
    }
  };
  const double ranks = static_cast<double>(report.gangs) * report.ranks_per_gang;
  add("disk_bytes", report.checkpoint_bytes, site.free_bytes);
  add("files", static_cast<double>(report.files), site.free_files);
  add("memory_bytes", ranks * report.memory_bytes_per_rank, site.memory_bytes);
  add("threads", ranks * report.threads_per_rank, site.cores);
}

}  // namespace

std::string plan_request(const Plan& plan, const config::Resources& resources,
                         const SiteFacts& site) {
  const int threads = threads_per_rank(resources, site.cores);
  const int alone = std::clamp(threads * resources.gangs(), threads,
                               std::max(threads, site.cores / resources.ranks_per_gang()));
  nlohmann::json stages = nlohmann::json::array();
  std::vector<std::string> written;
  for (const std::string& key : plan.graph.keys()) {
    const config::StageSpec stage = plan.graph.stages.at(key);
    stages.push_back(canonical_text(stage));
    if (stage.has_train()) {
      written = written_fields(stage.mesh());
    }
  }
  return nlohmann::json{
      {"stages", stages},
      {"threads", threads},
      {"threads_alone", alone},
      {"written", written},
      {"ranks", resources.ranks_per_gang()},
      {"device",
       enum_word(*config::DeviceKind_descriptor()->FindValueByNumber(resources.device()))},
      {"memory_stated", resources.has_memory_per_rank()},
      {"memory_per_rank", memory_of_rank(resources, site.memory_bytes)}}
      .dump();
}

StageEstimates parse_plan_answer(const std::string& json, const Plan& plan) {
  StageEstimates estimates;
  try {
    const nlohmann::json answer = nlohmann::json::parse(json);
    for (const nlohmann::json& stage : answer.at("stages")) {
      StageEstimate e;
      e.tokens = stage.value("tokens", std::int64_t{0});
      e.labels = stage.value("labels", std::int64_t{0});
      e.steps = stage.value("steps", std::int64_t{0});
      e.flops = stage.value("flops", 0.0);
      e.tokens_unshared = stage.value("tokens_unshared", e.tokens);
      e.flops_unshared = stage.value("flops_unshared", e.flops);
      e.seconds = stage.at("seconds").get<double>();
      e.seconds_low = stage.value("seconds_low", kLowFactor * e.seconds);
      e.seconds_high = stage.value("seconds_high", kHighFactor * e.seconds);
      e.alone_factor = e.seconds > 0 ? stage.value("seconds_alone", e.seconds) / e.seconds : 1;
      e.memory_bytes = stage.value("memory_bytes", std::int64_t{0});
      e.checkpoint_bytes = stage.value("checkpoint_bytes", std::int64_t{0});
      const std::string key = stage.at("key").get<std::string>();
      if (plan.graph.stages.contains(key)) {
        e.files = num_artifact_files(plan.graph.stages.at(key));
        estimates[key] = e;
      }
    }
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::kProtocol,
                std::string("the worker's answer to plan cannot be read: ") + error.what());
  }
  if (estimates.size() != plan.graph.stages.size()) {
    throw Error(ErrorKind::kProtocol, "the worker's answer to plan has " +
                                          std::to_string(estimates.size()) + " of " +
                                          std::to_string(plan.graph.stages.size()) + " stages");
  }
  return estimates;
}

SiteFacts read_site(const std::string& directory) {
  std::filesystem::path place = std::filesystem::absolute(directory);
  while (!path_exists(place) && place.has_relative_path()) {
    place = place.parent_path();
  }
  SiteFacts site;
  struct statvfs file_system {};
  if (::statvfs(place.c_str(), &file_system) == 0) {
    site.free_bytes =
        static_cast<double>(file_system.f_bavail) * static_cast<double>(file_system.f_frsize);
    site.free_files = static_cast<double>(file_system.f_favail);  // 0 where inodes are not counted
  }
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_size = ::sysconf(_SC_PAGE_SIZE);
  site.memory_bytes =
      pages > 0 && page_size > 0 ? static_cast<double>(pages) * static_cast<double>(page_size) : 0;
  site.cores = static_cast<int>(std::thread::hardware_concurrency());
  return site;
}

int threads_per_rank(const config::Resources& resources, int cores) {
  return resources.threads_per_rank() > 0
             ? resources.threads_per_rank()
             : std::max(1, cores / (resources.gangs() * resources.ranks_per_gang()));
}

std::vector<std::uint64_t> assumed_points(const config::Sweep& sweep) {
  const AxisGrid grid(sweep);
  const std::unique_ptr<Search> search = make_search(sweep.search(), grid.space(sweep));
  std::vector<Observation> decided;
  std::vector<std::uint64_t> points = search->next({});
  std::vector<std::uint64_t> all;
  while (!points.empty()) {
    for (const std::uint64_t point : points) {
      all.push_back(point);
      decided.push_back({point, Outcome::kMeasured, static_cast<double>(decided.size())});
    }
    points = search->is_adaptive() ? search->next(decided) : std::vector<std::uint64_t>();
  }
  return all;
}

Plan make_full_plan(const config::Sweep& sweep, const ContentHash& hash) {
  const std::vector<std::uint64_t> points = assumed_points(sweep);
  Plan plan = make_plan(sweep, hash, {}, points);
  TunedValues assumed;
  for (const PlannedTrial& trial : plan.trials) {
    if (trial.is_tuning) {
      assumed.emplace(trial.tune_group, trial.tuned);
    }
  }
  if (assumed.empty()) {
    return plan;
  }
  return make_plan(sweep, hash, assumed, points);
}

PlanReport make_plan_report(const config::Sweep& sweep, const Plan& plan,
                            const StageEstimates& estimates, const SiteFacts& site) {
  PlanReport report;
  report.name = sweep.name();
  report.gangs = sweep.resources().gangs();
  report.ranks_per_gang = sweep.resources().ranks_per_gang();
  report.threads_per_rank = threads_per_rank(sweep.resources(), site.cores);
  report.stages_unshared = plan.stages_unshared;
  report.stages = static_cast<std::int64_t>(plan.graph.order.size());
  report.sharing = plan.sharing;
  report.trials = static_cast<std::int64_t>(plan.trials.size());
  for (const PlannedTrial& trial : plan.trials) {
    report.tuning_trials += trial.is_tuning ? 1 : 0;
    for (const std::string& key : trial.stages) {
      const StageEstimate& stage = at(estimates, key);
      report.train_flops_unshared += stage.flops_unshared;
      report.train_tokens_unshared += static_cast<double>(stage.tokens_unshared);
    }
  }
  report.files = kCampaignFiles + report.gangs;  // a log for each gang
  for (const std::string& key : plan.graph.keys()) {
    const StageEstimate& stage = at(estimates, key);
    report.train_flops += stage.flops;
    report.train_tokens += static_cast<double>(stage.tokens);
    report.checkpoint_bytes += static_cast<double>(stage.checkpoint_bytes);
    report.files += stage.files;
    report.memory_bytes_per_rank =
        std::max(report.memory_bytes_per_rank, static_cast<double>(stage.memory_bytes));
  }
  Jobs jobs(plan);
  const auto seconds = [&](double StageEstimate::*which) {
    return kGangStartSeconds + jobs.makespan(estimates, which, report.gangs);
  };
  report.predicted_seconds = seconds(&StageEstimate::seconds);
  report.predicted_seconds_low = seconds(&StageEstimate::seconds_low);
  // A greedy schedule of longer jobs may end sooner: the interval still holds the prediction.
  report.predicted_seconds_high =
      std::max(report.predicted_seconds, seconds(&StageEstimate::seconds_high));
  report.predicted_seconds_low = std::min(report.predicted_seconds, report.predicted_seconds_low);
  add_limits(report, site);
  return report;
}

PlanReport plan_sweep(const config::Sweep& sweep, const ContentHash& hash,
                      const std::function<std::string(const std::string& request)>& ask_worker,
                      const SiteFacts& site) {
  const Plan plan = make_full_plan(sweep, hash);
  const std::string answer = ask_worker(plan_request(plan, sweep.resources(), site));
  PlanReport report = make_plan_report(sweep, plan, parse_plan_answer(answer, plan), site);
  const nlohmann::json document = nlohmann::json::parse(answer);
  report.mesh = parse_mesh_plan(document);
  report.data = document.value("data", std::vector<std::string>());
  if (!report.mesh.fits) {
    report.warnings.push_back("no mesh of " + std::to_string(report.ranks_per_gang) +
                              " ranks fits; run would refuse it");
  }
  for (const Overlap& overlap : find_overlap(sweep.data())) {
    if (overlap.lines > 0) {
      report.warnings.push_back(describe(overlap));
    }
  }
  for (std::string& line : undecidable_contrasts(sweep)) {
    report.warnings.push_back(std::move(line));
  }
  return report;
}

}  // namespace finescale
