// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulation/faults.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <vector>

#include "configs/nearest_name.h"
#include "core/error.h"

namespace finescale {

namespace {

constexpr std::array<std::string_view, kNumFaults> kNames = {"fail", "kill",      "hang",  "zombie",
                                                             "lose", "duplicate", "slow",  "rot",
                                                             "torn", "full",      "clock", "crash"};
constexpr double kUsualRate = 0.001;

double parse_rate(const std::string& text, const std::string& part) {
  char* end = nullptr;
  const double rate = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(rate >= 0) || rate > 0.5) {
    throw Error(ErrorKind::kConfig, "--faults " + part + ": must be a probability up to 0.5", {},
                "for example --faults kill=0.01,lose=0.001");
  }
  return rate;
}

}  // namespace

std::string_view fault_name(Fault fault) noexcept {
  return kNames[static_cast<std::size_t>(fault)];
}

FaultRates parse_faults(const std::string& text) {
  FaultRates rates;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    const std::size_t equals = part.find('=');
    const std::string name = part.substr(0, equals);
    const double rate =
        equals == std::string::npos ? kUsualRate : parse_rate(part.substr(equals + 1), part);
    const auto found = std::find(kNames.begin(), kNames.end(), name);
    if (name == "all") {
      rates.rate.fill(rate);
    } else if (found != kNames.end()) {
      rates.rate[static_cast<std::size_t>(found - kNames.begin())] = rate;
    } else {
      std::vector<std::string> known(kNames.begin(), kNames.end());
      known.emplace_back("all");
      throw Error(ErrorKind::kConfig,
                  "--faults: no fault is called " + name + did_you_mean(name, known), {},
                  "faults: " + joined(known));
    }
  }
  return rates;
}

bool FaultSource::happens(Fault fault) {
  const double rate = rates_.of(fault);
  if (rate <= 0 || random_.uniform() >= rate) {
    return false;
  }
  ++counts_[static_cast<std::size_t>(fault)];
  return true;
}

}  // namespace finescale
