// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan_mesh.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "configs/canonical.h"
#include "configs/mesh_plan.h"
#include "configs/parse.h"
#include "coordinator/plan_command.h"
#include "coordinator/worker_tool.h"
#include "core/error.h"

namespace finescale {

namespace {

constexpr std::size_t kMaxShown = 12;
constexpr std::size_t kMaxColumns = 100;
// What a mesh and its levers leave of a row: margin, gaps, numbers.
constexpr std::size_t kMaxCell = (kMaxColumns - 12 - 4 - 28) / 2;

std::string levers_text(const nlohmann::json& row) {
  std::string text;
  const auto add = [&](bool is_on, const std::string& what) {
    if (is_on) {
      text += (text.empty() ? "" : ", ") + what;
    }
  };
  add(row.value("zero", 0) > 0, "ZeRO-" + std::to_string(row.value("zero", 0)));
  const std::string recompute = row.value("recompute", "none");
  add(recompute != "none", "recompute " + recompute);
  add(row.value("overlap", "off") == "on", "overlap");
  add(row.value("interleave", 1) > 1, "interleave " + std::to_string(row.value("interleave", 1)));
  const std::string offload = row.value("offload", "none");
  add(offload != "none", "offload " + offload);
  return text;
}

std::string cell(const char* format, double value) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

std::string step_text(double seconds) {
  return seconds < 1 ? cell("%.3g ms", 1e3 * seconds) : cell("%.3g s", seconds);
}

std::string memory_text(double bytes) {
  constexpr double kGiB = 1 << 30;
  return bytes >= kGiB ? cell("%.2f GiB", bytes / kGiB) : cell("%.0f MiB", bytes / (1 << 20));
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

std::string without_trailing_spaces(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

// Lines of at most `width` characters, broken at spaces, of which none comes before a number.
std::vector<std::string> wrapped(const std::string& text, std::size_t width) {
  std::vector<std::string> lines(1);
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t end = text.find(' ', begin);
    while (end != std::string::npos && std::isdigit(static_cast<unsigned char>(text[end + 1]))) {
      end = text.find(' ', end + 1);
    }
    end = std::min(end, text.size());
    const std::string word = text.substr(begin, end - begin);
    if (lines.back().empty()) {
      lines.back() = word;
    } else if (lines.back().size() + 1 + word.size() <= width) {
      lines.back() += " " + word;
    } else {
      lines.push_back(word);
    }
    begin = end + 1;
  }
  return lines;
}

std::size_t widest(const std::vector<std::string>& lines) {
  std::size_t width = 0;
  for (const std::string& line : lines) {
    width = std::max(width, line.size());
  }
  return width;
}

}  // namespace

MeshPlan parse_mesh_plan(const nlohmann::json& answer) {
  MeshPlan plan;
  if (!answer.contains("mesh")) {
    return plan;
  }
  const nlohmann::json& mesh = answer.at("mesh");
  parse_canonical(mesh.at("mesh").get<std::string>(), plan.mesh);
  plan.fits = mesh.at("fits").get<bool>();
  plan.memory_per_rank = mesh.at("machine").value("memory_per_rank", 0.0);
  plan.json = mesh.at("rows").dump();
  for (const nlohmann::json& row : mesh.at("rows")) {
    PlannedMesh out;
    out.mesh = planner::axes_text({row.value("data", 1), row.value("shard", 1),
                                   row.value("tensor", 1), row.value("pipeline", 1)});
    out.levers = levers_text(row);
    const std::string verdict = row.at("verdict").get<std::string>();
    out.is_legal = verdict != "illegal";
    out.is_chosen = verdict == "chosen";
    out.reason = row.value("reason", "");
    out.memory_bytes = row.value("memory_bytes", 0.0);
    out.step_seconds = row.value("step_seconds", 0.0);
    out.communication_share = row.value("communication_share", 0.0);
    plan.rows.push_back(std::move(out));
  }
  return plan;
}

std::string mesh_table_text(const MeshPlan& plan) {
  std::size_t mesh_width = 4;
  std::size_t lever_width = 6;
  const std::size_t shown = std::min(plan.rows.size(), kMaxShown);
  std::vector<std::vector<std::string>> meshes(shown);
  std::vector<std::vector<std::string>> levers(shown);
  for (std::size_t i = 0; i < shown; ++i) {
    meshes[i] = wrapped(plan.rows[i].mesh, kMaxCell);
    mesh_width = std::max(mesh_width, widest(meshes[i]));
  }
  for (std::size_t i = 0; i < shown; ++i) {
    levers[i] = wrapped(plan.rows[i].levers, 2 * kMaxCell - mesh_width);
    lever_width = std::max(lever_width, widest(levers[i]));
  }
  std::string text = "  meshes    " + padded("mesh", mesh_width) + "  " +
                     padded("levers", lever_width) + "  memory      step      comm.\n";
  for (std::size_t i = 0; i < shown; ++i) {
    const PlannedMesh& row = plan.rows[i];
    std::string line = std::string(row.is_chosen ? "         -> " : "            ") +
                       padded(meshes[i].front(), mesh_width) + "  " +
                       padded(levers[i].front(), lever_width) + "  ";
    line += row.is_legal ? padded(memory_text(row.memory_bytes), 12) +
                               padded(step_text(row.step_seconds), 10) +
                               padded(cell("%.0f%%", 100 * row.communication_share), 6)
                         : std::string(28, ' ');
    const std::string why = row.is_chosen ? "chosen" : row.reason;
    // A reason that does not fit beside the numbers goes below them, as do the rests of cells.
    const bool is_below = line.size() + why.size() > kMaxColumns;
    text += without_trailing_spaces(is_below ? line : line + why) + "\n";
    for (std::size_t k = 1; k < std::max(meshes[i].size(), levers[i].size()); ++k) {
      text += without_trailing_spaces(std::string(12, ' ') +
                                      padded(k < meshes[i].size() ? meshes[i][k] : "", mesh_width) +
                                      "  " + (k < levers[i].size() ? levers[i][k] : "")) +
              "\n";
    }
    if (is_below) {
      for (const std::string& part : wrapped(why, kMaxColumns - 14)) {
        text += std::string(14, ' ') + part + "\n";
      }
    }
  }
  if (plan.rows.size() > shown) {
    text += "            and " + std::to_string(plan.rows.size() - shown) + " more: --json\n";
  }
  return text;
}

double memory_of_rank(const config::Resources& resources, double machine_bytes) {
  return parse_bytes(resources.memory_per_rank())
      .value_or(machine_bytes / (resources.gangs() * resources.ranks_per_gang()));
}

std::string ask_plan_tool(const std::string& sweep_file, const std::string& request) {
  try {
    return ask_worker_tool("plan", request);
  } catch (const Error& error) {
    if (!error.where().starts_with("mesh")) {
      throw at_written_place(error, sweep_file);
    }
    throw Error(error.kind(), error.message(), written_at(sweep_file, error.where()), error.hint());
  }
}

void settle_sweep_mesh(config::Sweep& sweep,
                       const std::function<std::string(const std::string& request)>& ask_worker) {
  const bool is_auto = sweep.mesh().choice() == config::MESH_CHOICE_AUTO;
  if (is_auto || sweep.resources().has_memory_per_rank()) {
    const SiteFacts site = read_site(".");
    // The choice does not depend on what the files hold.
    const Plan plan = make_full_plan(sweep, [](const std::string& path) { return path; });
    nlohmann::json request = nlohmann::json::parse(plan_request(plan, sweep.resources(), site));
    request["measure"] = false;
    MeshPlan answer;
    try {
      answer = parse_mesh_plan(nlohmann::json::parse(ask_worker(request.dump())));
    } catch (const nlohmann::json::exception& error) {
      throw Error(ErrorKind::kProtocol,
                  std::string("the worker's answer to plan cannot be read: ") + error.what());
    }
    if (!answer.fits) {
      throw Error(ErrorKind::kConfig,
                  "no mesh of " + std::to_string(sweep.resources().ranks_per_gang()) +
                      " ranks fits: " + (answer.rows.empty() ? "" : answer.rows.front().reason),
                  "mesh", "finescale plan shows what each would need");
    }
    if (is_auto) {
      *sweep.mutable_mesh() = answer.mesh;
    }
  }
}

}  // namespace finescale
