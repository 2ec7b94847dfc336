// SPDX-License-Identifier: Apache-2.0
// A plan as JSON and as lines for people.
#include <array>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "coordinator/plan_command.h"

namespace finescale {

namespace {

std::string formatted(const char* format, double value, const char* unit) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, value, unit);
  return text.data();
}

// 12.3 M, 4.56 G: three digits.
std::string scaled(double value, double base, const std::array<const char*, 6>& units) {
  std::size_t unit = 0;
  while (value >= base && unit + 1 < units.size()) {
    value /= base;
    ++unit;
  }
  const char* format = unit == 0 || value >= 100 ? "%.0f %s" : value >= 10 ? "%.1f %s" : "%.2f %s";
  std::string text = formatted(format, value, units[unit]);
  return text.ends_with(' ') ? text.substr(0, text.size() - 1) : text;
}

std::string count_text(double value) {
  return scaled(value, 1000, {"", "k", "M", "G", "T", "P"});
}

std::string bytes_text(double value) {
  return scaled(value, 1024, {"B", "KiB", "MiB", "GiB", "TiB", "PiB"});
}

std::string seconds_text(double seconds) {
  if (seconds < 99.5) {
    return formatted("%.0f%s", std::max(1.0, seconds), " s");
  }
  if (seconds < 99.5 * 60) {
    return formatted("%.0f%s", seconds / 60, " min");
  }
  return seconds < 72 * 3600 ? formatted("%.1f%s", seconds / 3600, " h")
                             : formatted("%.1f%s", seconds / 86400, " days");
}

std::string limit_text(const PlanLimit& limit) {
  const bool is_bytes = limit.what.ends_with("_bytes");
  const auto number = [&](double value) {
    return is_bytes ? bytes_text(value) : count_text(value);
  };
  return (is_bytes ? limit.what.substr(0, limit.what.size() - 6) : limit.what) + " " +
         number(limit.value) + " of " + number(limit.limit) + (limit.ok ? "" : "  <- too much");
}

std::string sharing_text(double unshared, double shared) {
  return shared > 0 && unshared > 1.005 * shared
             ? formatted(" (without sharing %.2f x%s)", unshared / shared, "")
             : std::string();
}

std::string plural(std::int64_t count, const std::string& word) {
  return std::to_string(count) + " " + word + (count == 1 ? "" : "s");
}

std::string note_text(const SharingNote& note) {
  return note.why_not.empty()
             ? note.stage + ": " + plural(note.runs, "run") + " start from " +
                   plural(note.trunks, "trunk")
             : note.stage + ": " + plural(note.runs, "budget") + " trained apart: " + note.why_not;
}

}  // namespace

std::string plan_json(const PlanReport& report) {
  nlohmann::json sharing = nlohmann::json::array();
  for (const SharingNote& note : report.sharing) {
    sharing.push_back(
        {{"stage", note.stage},
         {"runs", note.runs},
         {"trunks", note.trunks},
         {"why_not", note.why_not.empty() ? nlohmann::json() : nlohmann::json(note.why_not)}});
  }
  nlohmann::json limits = nlohmann::json::array();
  for (const PlanLimit& limit : report.limits) {
    limits.push_back(
        {{"what", limit.what}, {"value", limit.value}, {"limit", limit.limit}, {"ok", limit.ok}});
  }
  const nlohmann::ordered_json document = {
      {"name", report.name},
      {"trials", report.trials},
      {"tuning_trials", report.tuning_trials},
      {"stages_unshared", report.stages_unshared},
      {"stages", report.stages},
      {"train_flops_unshared", report.train_flops_unshared},
      {"train_flops", report.train_flops},
      {"train_tokens_unshared", report.train_tokens_unshared},
      {"train_tokens", report.train_tokens},
      {"sharing", sharing},
      {"predicted_seconds", report.predicted_seconds},
      {"predicted_seconds_interval", {report.predicted_seconds_low, report.predicted_seconds_high}},
      {"gangs", report.gangs},
      {"ranks_per_gang", report.ranks_per_gang},
      {"threads_per_rank", report.threads_per_rank},
      {"memory_bytes_per_rank", report.memory_bytes_per_rank},
      {"checkpoint_bytes", report.checkpoint_bytes},
      {"files", report.files},
      {"limits", limits},
      {"data", report.data},
      {"mesh_fits", report.mesh.fits},
      {"meshes", report.mesh.json.empty() ? nlohmann::json::array()
                                          : nlohmann::json::parse(report.mesh.json)},
      {"warnings", report.warnings}};
  return document.dump(2);
}

std::string plan_text(const PlanReport& report) {
  std::string out = "plan of " + report.name + ": " + plural(report.trials, "trial");
  if (report.tuning_trials > 0) {
    out += ", " + std::to_string(report.tuning_trials) + " of them tuning";
  }
  for (std::size_t i = 0; i < report.data.size(); ++i) {
    out += (i == 0 ? "\n  data      " : "\n            ") + report.data[i];
  }
  out +=
      "\n  stages    " + std::to_string(report.stages) +
      sharing_text(static_cast<double>(report.stages_unshared), static_cast<double>(report.stages));
  out += "\n  training  " + count_text(report.train_tokens) + " tokens" +
         sharing_text(report.train_tokens_unshared, report.train_tokens) + ", " +
         formatted("%.3g FLOPs%s", report.train_flops, "") +
         sharing_text(report.train_flops_unshared, report.train_flops);
  for (std::size_t i = 0; i < report.sharing.size(); ++i) {
    out += (i == 0 ? "\n  sharing   " : "\n            ") + note_text(report.sharing[i]);
  }
  out += "\n  time      about " + seconds_text(report.predicted_seconds) + " (" +
         seconds_text(report.predicted_seconds_low) + " to " +
         seconds_text(report.predicted_seconds_high) + ") on " + plural(report.gangs, "gang") +
         " of " + plural(report.ranks_per_gang, "rank") + ", " +
         plural(report.threads_per_rank, "thread") + " each";
  out += "\n  memory    " + bytes_text(report.memory_bytes_per_rank) + " a rank";
  out += "\n  disk      " + bytes_text(report.checkpoint_bytes) + " in " +
         plural(report.files, "file");
  bool is_first = true;
  for (const PlanLimit& limit : report.limits) {
    out += (is_first ? "\n  limits    " : "\n            ") + limit_text(limit);
    is_first = false;
  }
  if (!report.mesh.rows.empty() && report.ranks_per_gang > 1) {
    out += "\n" + mesh_table_text(report.mesh);
    out.pop_back();
  }
  for (const std::string& warning : report.warnings) {
    out += "\n  warning   " + warning;
  }
  return out + "\n";
}

}  // namespace finescale
