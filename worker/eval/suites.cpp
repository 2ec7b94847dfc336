// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/suites.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace finescale {

namespace {

constexpr const char* kSetsEnding = "-sets";  // no set's name ends so

struct Pooled {
  double sum = 0;
  std::int64_t n = 0;
};

void add_rows(const std::string& name, const std::set<std::string>& sets,
              const config::Evaluate& evaluate, proto::StageResult& result) {
  std::map<std::string, Pooled> pooled;
  for (const proto::EvalRow& row : result.evals()) {
    if (sets.contains(row.set())) {
      Pooled& metric = pooled[row.metric()];
      metric.sum += row.value() * static_cast<double>(row.n());
      metric.n += row.n();
    }
  }
  for (const std::string& metric : evaluate.metrics()) {
    const Pooled& of = pooled[metric];
    if (of.n > 0) {
      proto::EvalRow& row = *result.add_evals();
      row.set_step(0);
      row.set_set(name + kSetsEnding);
      row.set_metric(metric);
      row.set_value(of.sum / static_cast<double>(of.n));
      row.set_n(of.n);
    }
  }
}

}  // namespace

void add_suites(const config::EvaluateSpec& spec, proto::StageResult& result) {
  std::map<std::string, std::set<std::string>> by_tag;
  std::set<std::string> all;
  for (const config::DatasetRef& set : spec.sets()) {
    all.insert(set.name());
    for (const std::string& tag : set.tags()) {
      by_tag[tag].insert(set.name());
    }
  }
  if (by_tag.empty()) {
    return;
  }
  add_rows("all", all, spec.evaluate(), result);
  for (const auto& [tag, sets] : by_tag) {
    if (tag != "all") {
      add_rows(tag, sets, spec.evaluate(), result);
    }
  }
}

}  // namespace finescale
