// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/registry.h"

#include "core/error.h"

namespace finescale {
namespace {

std::vector<std::unique_ptr<Law>> make_all() {
  std::vector<std::unique_ptr<Law>> laws;
  laws.push_back(make_power_law());
  laws.push_back(make_power_offset_law());
  laws.push_back(make_rectified_law());
  laws.push_back(make_additive_law());
  laws.push_back(make_multiplicative_law());
  laws.push_back(make_joint_rectified_law());
  laws.push_back(make_data_constrained_law());
  laws.push_back(make_constant_law());
  laws.push_back(make_exponential_law());
  laws.push_back(make_logarithmic_law());
  return laws;
}

// Immutable after the first call: a table of stateless objects.
const std::vector<std::unique_ptr<Law>>& all_laws() {
  static const std::vector<std::unique_ptr<Law>> laws = make_all();
  return laws;
}

}  // namespace

const std::vector<std::string>& law_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const auto& law : all_laws()) {
      list.push_back(law->name());
    }
    return list;
  }();
  return names;
}

const Law& find_law(const std::string& name) {
  for (const auto& law : all_laws()) {
    if (law->name() == name) {
      return *law;
    }
  }
  std::string known;
  for (const std::string& other : law_names()) {
    known += (known.empty() ? "" : ", ") + other;
  }
  throw Error(ErrorKind::kConfig, "unknown form of law: " + name, "laws.forms", "known: " + known);
}

}  // namespace finescale
