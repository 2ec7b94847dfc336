// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/plan_tool_mesh.h"

#include <unistd.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "configs/canonical.h"
#include "core/error.h"
#include "worker/rank_gpu.h"
#include "worker/tool/plan_tool.h"

namespace finescale {

namespace {

const char* word(planner::Verdict verdict) {
  switch (verdict) {
    case planner::Verdict::kChosen:
      return "chosen";
    case planner::Verdict::kSlower:
      return "slower";
    case planner::Verdict::kOwnNumbers:
      return "own_numbers";
    case planner::Verdict::kTooLarge:
      return "too_large";
    case planner::Verdict::kIllegal:
      return "illegal";
  }
  return "";
}

nlohmann::ordered_json row_json(const planner::MeshRow& row) {
  const planner::Plan& plan = row.plan;
  const planner::Memory& m = row.memory;
  nlohmann::ordered_json json = {{"data", plan.axes.data},
                                 {"shard", plan.axes.shard},
                                 {"tensor", plan.axes.tensor},
                                 {"pipeline", plan.axes.pipeline},
                                 {"zero", plan.zero},
                                 {"recompute", planner::word(plan.recompute)},
                                 {"overlap", plan.overlap ? "on" : "off"},
                                 {"interleave", plan.interleave},
                                 {"offload", planner::word(plan.offload)},
                                 {"verdict", word(row.verdict)},
                                 {"reason", row.reason}};
  if (row.verdict != planner::Verdict::kIllegal) {
    json["memory_bytes"] = m.total();
    json["memory"] = {{"weights", m.weights},         {"gather", m.gather},
                      {"gradients", m.gradients},     {"optimizer", m.optimizer},
                      {"activations", m.activations}, {"logits", m.logits},
                      {"scratch", m.scratch},         {"communication", m.communication},
                      {"snapshot", m.snapshot},       {"base", m.base}};
    json["step_seconds"] = row.time.total();
    json["communication_share"] = row.time.communication_share();
    json["sent_bytes"] = {{"replica", row.time.replica_bytes},
                          {"tensor", row.time.tensor_bytes},
                          {"pipeline", row.time.pipeline_bytes}};
  }
  return json;
}

double machine_memory() {
  return static_cast<double>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<double>(::sysconf(_SC_PAGE_SIZE));
}

}  // namespace

planner::BatchShape batch_shape(const TrainLoader& loader) {
  planner::BatchShape batch;
  const auto tokens = static_cast<double>(loader.num_tokens());
  batch.tokens = tokens / static_cast<double>(loader.num_steps());
  batch.micro_batches = loader.max_micro_batches();
  batch.micro_tokens = loader.max_micro_batch_tokens();
  batch.context = loader.sum([](std::int64_t length) {
    return static_cast<double>(length) * static_cast<double>(length);
  }) / tokens;
  batch.is_weighted = loader.is_weighted();
  batch.label_fraction = static_cast<double>(loader.num_labels()) / tokens;
  return batch;
}

double memory_of(const MeshQuestion& question, const planner::Machine& machine) {
  if (machine.has_device()) {
    return question.memory_is_stated && question.memory_per_rank > 0
               ? std::min(question.memory_per_rank, machine.memory_per_rank)
               : machine.memory_per_rank;
  }
  return question.memory_per_rank > 0 ? question.memory_per_rank
                                      : machine_memory() / question.ranks;
}

MeshAnswer answer_mesh(const MeshQuestion& question, std::span<const planner::Workload> workloads,
                       planner::Machine machine) {
  machine.memory_per_rank = memory_of(question, machine);
  MeshAnswer answer;
  if (question.mesh.choice() == config::MESH_CHOICE_AUTO) {
    answer.table =
        planner::make_mesh_table(workloads, machine, question.ranks, settled_fields(question.mesh));
    if (answer.table.rows.empty()) {
      throw Error(
          ErrorKind::kConfig,
          "no mesh of " + std::to_string(question.ranks) + " ranks has the axes that mesh gives",
          "mesh", "set resources.ranks_per_gang to a multiple of their product");
    }
    answer.mesh = mesh_of(answer.table.rows.front().plan);
    if (question.mesh.has_scratch()) {
      answer.mesh.set_scratch(question.mesh.scratch());
    }
  } else {
    answer.table.rows = {planner::judge(workloads, machine, mesh_plan(question.mesh))};
    answer.mesh = question.mesh;
  }
  answer.fits = answer.table.chosen() != nullptr;
  answer.machine = std::move(machine);
  return answer;
}

std::string mesh_json(const MeshAnswer& answer) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const planner::MeshRow& row : answer.table.rows) {
    rows.push_back(row_json(row));
  }
  const planner::Machine& machine = answer.machine;
  return nlohmann::ordered_json{{"mesh", canonical_text(answer.mesh)},
                                {"fits", answer.fits},
                                {"machine",
                                 {{"name", machine.name},
                                  {"memory_per_rank", machine.memory_per_rank},
                                  {"gemm_flops_per_s", machine.gemm.back().flops_per_s},
                                  {"memory_bandwidth", machine.memory_bandwidth},
                                  {"link_bandwidth", machine.inside.bandwidth},
                                  {"link_latency_s", machine.inside.latency}}},
                                {"rows", rows}}
      .dump();
}

config::Mesh settle_mesh(Group& world, int threads, double memory_per_rank,
                         const std::string& device, const std::vector<config::StageSpec>& stages) {
  const char* const place = works_on_gpus(world, device) ? "cuda" : "cpu";
  std::string text;
  std::string problem;
  if (world.rank() == 0) {
    nlohmann::json request = {
        {"stages", nlohmann::json::array()},  {"threads", threads}, {"ranks", world.size()},
        {"memory_per_rank", memory_per_rank}, {"device", place},    {"measure", false}};
    for (const config::StageSpec& stage : stages) {
      request["stages"].push_back(canonical_text(stage));
      if (stage.has_train()) {
        request["written"] = written_fields(stage.mesh());
      }
    }
    try {
      const nlohmann::json answer = nlohmann::json::parse(plan_tool(request.dump())).at("mesh");
      text = answer.at("mesh").get<std::string>();
      if (!answer.at("fits").get<bool>()) {
        problem = "no mesh of " + std::to_string(world.size()) +
                  " ranks fits: " + answer.at("rows").at(0).at("reason").get<std::string>();
      }
    } catch (const Error& error) {  // the others must not wait for an answer
      problem = error.message();
    }
  }
  world.broadcast(problem, 0);
  world.broadcast(text, 0);
  if (!problem.empty()) {
    throw Error(ErrorKind::kConfig, problem, "mesh", "finescale plan shows what each would need");
  }
  config::Mesh mesh;
  parse_canonical(text, mesh);
  return mesh;
}

}  // namespace finescale
