// SPDX-License-Identifier: Apache-2.0
#include "configs/slurm_rules.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

namespace finescale {

namespace {

const std::string kPath = "resources.slurm";

std::optional<double> whole_number(std::string_view text) {
  unsigned value = 0;
  constexpr std::size_t kMaxDigits = 8;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool ok = error == std::errc() && end == text.data() + text.size() &&
                  text.size() <= kMaxDigits && !text.empty();
  return ok ? std::optional<double>(value) : std::nullopt;
}

// Numbers between colons; empty when one is none.
std::vector<double> numbers(std::string_view text) {
  std::vector<double> out;
  for (;;) {
    const std::size_t colon = text.find(':');
    const std::optional<double> number = whole_number(text.substr(0, colon));
    if (!number) {
      return {};
    }
    out.push_back(*number);
    if (colon == std::string_view::npos) {
      return out;
    }
    text.remove_prefix(colon + 1);
  }
}

bool is_one_line(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

// "--name" or "--name=value".
bool is_option(std::string_view text) {
  const std::string_view name = text.substr(0, text.find('='));
  constexpr std::size_t kDashes = 2;
  return name.size() > kDashes && name.starts_with("--") &&
         std::all_of(name.begin() + kDashes, name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; });
}

}  // namespace

std::optional<double> parse_slurm_time(std::string_view text) {
  constexpr double kMinute = 60;
  constexpr double kHour = 3600;
  constexpr double kDay = 86400;
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) {
    const std::vector<double> n = numbers(text);
    switch (n.size()) {
      case 1:
        return n[0] * kMinute;
      case 2:
        return n[0] * kMinute + n[1];
      case 3:
        return n[0] * kHour + n[1] * kMinute + n[2];
      default:
        return std::nullopt;
    }
  }
  const std::optional<double> days = whole_number(text.substr(0, dash));
  std::vector<double> n = numbers(text.substr(dash + 1));
  if (!days || n.empty() || n.size() > 3) {
    return std::nullopt;
  }
  n.resize(3);
  return *days * kDay + n[0] * kHour + n[1] * kMinute + n[2];
}

void check_slurm(const config::Slurm& slurm, const RuleReport& report) {
  const auto check_line = [&](const std::string& text, const std::string& field) {
    report.require(is_one_line(text), kPath + "." + field,
                   kPath + "." + field + " holds a line break or a control character",
                   "each goes on a line of its own of the batch script");
  };
  check_line(slurm.account(), "account");
  check_line(slurm.partition(), "partition");
  check_line(slurm.qos(), "qos");
  check_line(slurm.constraint(), "constraint");
  check_line(slurm.exclude(), "exclude");
  for (const std::string& line : slurm.prologue()) {
    check_line(line, "prologue");
  }
  for (const std::string& option : slurm.extra()) {
    check_line(option, "extra");
    std::string message = kPath;
    message.append(".extra has \"").append(option).append("\", must be --name or --name=value");
    report.require(is_option(option), kPath + ".extra", message,
                   "one option in each entry, in its long form: [--exclusive, --mail-type=END]");
  }
  if (slurm.has_time()) {
    const std::optional<double> seconds = parse_slurm_time(slurm.time());
    report.require(
        seconds && *seconds > 0, kPath + ".time",
        kPath + ".time is \"" + slurm.time() + "\", must be minutes, HH:MM:SS or D-HH:MM:SS",
        "two hours: 02:00:00");
    report.require(*seconds > slurm.save_before(), kPath + ".time",
                   kPath + ".time is " + slurm.time() + ", must be longer than save_before (" +
                       std::to_string(slurm.save_before()) + " s)");
  }
}

void check_pool(const config::Resources& resources, const RuleReport& report) {
  const std::string field = "resources.interface";
  report.require(!resources.has_interface() ||
                     (!resources.interface().empty() && is_one_line(resources.interface()) &&
                      resources.interface().find(' ') == std::string::npos),
                 field, field + " is \"" + resources.interface() + "\"",
                 "an address or name of this machine, or one of its network interfaces");
  if (!resources.launcher().has_pool()) {
    return;
  }
  const config::Pool& pool = resources.launcher().pool();
  report.require(pool.max_jobs() == resources.gangs(), "resources.gangs",
                 "resources.gangs is " + std::to_string(resources.gangs()) +
                     ", and launcher.pool.max_jobs is " + std::to_string(pool.max_jobs()),
                 "each job is a gang: give one of them");
  report.require(resources.orphan_timeout() > 0, "resources.orphan_timeout",
                 "resources.orphan_timeout is 0, must be longer with the launcher pool",
                 "its jobs may start while the coordinator is busy or away");
}

}  // namespace finescale
