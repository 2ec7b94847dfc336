// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <set>
#include <thread>

#include <nlohmann/json.hpp>

#include "configs/canonical.h"
#include "coordinator/campaign.h"
#include "coordinator/commands/command.h"
#include "coordinator/launchers/launcher.h"
#include "coordinator/plan.h"
#include "coordinator/process.h"
#include "core/error.h"

namespace finescale {

namespace {

struct StageCost {
  double tokens = 0, flops = 0, seconds = 0, memory = 0, checkpoint = 0;
};

struct Totals {
  double flops_unshared = 0, flops = 0, tokens_unshared = 0, tokens = 0, seconds = 0, memory = 0,
         checkpoint = 0;
};

// The whole sweep: trials that wait for tuning are planned with the middle of what is tuned, which
// costs the same.
Plan whole_plan(const config::Sweep& sweep, const ContentHash& hash) {
  const Plan first = make_plan(sweep, hash, {});
  TunedValues assumed;
  for (const PlannedTrial& trial : first.trials) {
    if (trial.is_tuning) {
      assumed.emplace(trial.tune_group, trial.tuned);
    }
  }
  return make_plan(sweep, hash, assumed);
}

std::map<std::string, StageCost> ask_worker(const Plan& plan, int threads) {
  nlohmann::json request = {{"threads", threads}, {"stages", nlohmann::json::array()}};
  for (const std::string& key : plan.graph.order) {
    request["stages"].push_back(canonical_text(plan.graph.stages.at(key)));
  }
  const ProcessOutput output = run_process({worker_program(), "tool", "plan"}, request.dump());
  if (output.code != 0) {
    throw Error(output.code == 2 ? ErrorKind::kData : ErrorKind::kInternal,
                "finescale-worker tool plan failed; it says why above");
  }
  std::map<std::string, StageCost> costs;
  const nlohmann::json answer = nlohmann::json::parse(output.out);
  for (const nlohmann::json& stage : answer.at("stages")) {
    costs[stage.at("key")] = {stage.at("tokens"), stage.at("flops"), stage.at("seconds"),
                              stage.at("memory_bytes"), stage.at("checkpoint_bytes")};
  }
  return costs;
}

// Greedy list scheduling in plan order over the gangs, inputs first: what the reactor does.
double makespan(const Plan& plan, const std::map<std::string, StageCost>& costs, int gangs) {
  std::vector<double> free_at(static_cast<std::size_t>(gangs),
                              0.6);  // mpirun and MPI_Init, measured
  std::map<std::string, double> done;
  for (const std::string& key : plan.graph.order) {
    double ready = 0;
    for (const std::string& input : plan.graph.inputs.at(key)) {
      ready = std::max(ready, done[input]);
    }
    // The gang that can begin first; the latest free one among equals keeps the others for other
    // work.
    auto best = free_at.begin();
    for (auto it = free_at.begin(); it != free_at.end(); ++it) {
      if (std::max(*it, ready) < std::max(*best, ready) ||
          (std::max(*it, ready) == std::max(*best, ready) && *it > *best)) {
        best = it;
      }
    }
    *best = std::max(*best, ready) + costs.at(key).seconds +
            0.01;  // hand-over between stages, measured
    done[key] = *best;
  }
  return *std::max_element(free_at.begin(), free_at.end());
}

Totals total(const Plan& plan, const std::map<std::string, StageCost>& costs) {
  Totals t;
  for (const auto& [key, cost] : costs) {
    t.flops += cost.flops;
    t.tokens += cost.tokens;
    t.memory = std::max(t.memory, cost.memory);
    t.checkpoint += cost.checkpoint;
  }
  for (const PlannedTrial& trial : plan.trials) {
    for (const std::string& key : trial.stages) {
      t.flops_unshared += costs.at(key).flops;
      t.tokens_unshared += costs.at(key).tokens;
    }
  }
  return t;
}

struct Limit {
  std::string what;
  double value, limit;
};

std::string bytes(double value) {
  char text[40];
  std::snprintf(text, sizeof text, value >= (1 << 30) ? "%.1f GiB" : "%.1f MiB",
                value >= (1 << 30) ? value / (1 << 30) : value / (1 << 20));
  return text;
}

int plan_sweep(const std::string& file, const std::vector<std::string>& settings, bool json) {
  const config::Sweep sweep = load_sweep(file, to_overrides(settings));
  ContentHashes hashes("");
  const Plan plan = whole_plan(sweep, [&](const std::string& path) { return hashes(path); });
  const config::Resources& r = sweep.resources();
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  const int threads = r.threads_per_rank() > 0
                          ? r.threads_per_rank()
                          : std::max(1, cores / (r.gangs() * r.ranks_per_gang()));
  const std::map<std::string, StageCost> costs = ask_worker(plan, threads);
  Totals t = total(plan, costs);
  t.seconds = makespan(plan, costs, r.gangs());
  const auto files = static_cast<double>(4 * plan.graph.order.size() + 20);
  std::error_code code;
  const std::filesystem::space_info space = std::filesystem::space(".", code);
  const std::vector<Limit> limits = {
      {"checkpoint bytes against free disk", t.checkpoint, static_cast<double>(space.available)}};
  std::size_t tuning = 0;
  for (const PlannedTrial& trial : plan.trials) {
    tuning += static_cast<std::size_t>(trial.is_tuning);
  }
  if (json) {
    nlohmann::json l = nlohmann::json::array();
    for (const Limit& limit : limits) {
      l.push_back({{"what", limit.what},
                   {"value", limit.value},
                   {"limit", limit.limit},
                   {"ok", limit.value <= limit.limit}});
    }
    std::cout << nlohmann::json{{"trials", plan.trials.size()},
                                {"stages_unshared", plan.stages_unshared},
                                {"stages", plan.graph.order.size()},
                                {"train_flops_unshared", t.flops_unshared},
                                {"train_flops", t.flops},
                                {"train_tokens_unshared", t.tokens_unshared},
                                {"train_tokens", t.tokens},
                                {"predicted_seconds", t.seconds},
                                {"predicted_seconds_interval", {t.seconds * 0.8, t.seconds * 1.25}},
                                {"memory_bytes_per_rank", t.memory},
                                {"checkpoint_bytes", t.checkpoint},
                                {"files", files},
                                {"limits", l}}
                     .dump(1)
              << "\n";
    return 0;
  }
  char text[1024];
  std::snprintf(text, sizeof text,
                "%s: %zu trials (%zu of them tuning), %zu stages (%lld before sharing)\n"
                "training: %.4g FLOPs, %.4g tokens (without sharing %.4g FLOPs, %.4g tokens)\n"
                "predicted time: %.0f s (%.0f to %.0f) on %d gangs of %d ranks with %d threads\n"
                "memory per rank: %s; checkpoints: %s in about %.0f files\n",
                sweep.name().c_str(), plan.trials.size(), tuning, plan.graph.order.size(),
                static_cast<long long>(plan.stages_unshared), t.flops, t.tokens, t.flops_unshared,
                t.tokens_unshared, t.seconds, t.seconds * 0.8, t.seconds * 1.25, r.gangs(),
                r.ranks_per_gang(), threads, bytes(t.memory).c_str(), bytes(t.checkpoint).c_str(),
                files);
  std::cout << text;
  for (const Limit& limit : limits) {
    std::cout << (limit.value <= limit.limit ? "ok: " : "ABOVE THE LIMIT: ") << limit.what << ": "
              << bytes(limit.value) << " of " << bytes(limit.limit) << "\n";
  }
  return 0;
}

}  // namespace

void add_plan(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "plan", "dry run: trials, stages, FLOPs, tokens, predicted time, memory, files");
  struct Arguments {
    std::string file;
    std::vector<std::string> settings;
  };
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("SWEEP", arguments->file, "sweep file")->required();
  add_settings(*command, arguments->settings);
  command->add_flag("--json", context.json, "as JSON on standard output");
  command->callback([arguments, &context] {
    context.exit_code = plan_sweep(arguments->file, arguments->settings, context.json);
  });
}

}  // namespace finescale
