// SPDX-License-Identifier: Apache-2.0
#include "configs/data_stage_rules.h"

#include <algorithm>
#include <vector>

#include "configs/named_data.h"

namespace finescale {

namespace {

void check_quantiles(const config::Quantiles& quantiles, const std::string& path,
                     const RuleReport& report) {
  report.require(quantiles.from() < quantiles.to(), path,
                 path + ".from must be below " + path + ".to");
}

}  // namespace

void check_generate(const DataFacts& input, const std::string& path, const RuleReport& report) {
  report.require(!input.is_pairs, path, path + ".generate asks the prompts of pairs",
                 "let it read {prompt, response}");
}

void check_score(const DataFacts& input, const std::string& path, const RuleReport& report) {
  report.require(!input.is_pairs, path, path + ".score measures pairs, which have two losses",
                 "let it read {prompt, response}, and select pairs behind it");
}

void check_select(const config::Select& select, const DataFacts& input, const std::string& path,
                  const RuleReport& report) {
  const std::string field = path + ".select";
  const char* needs_scores = "put a score stage before it";
  const bool has_answers = input.is_generated || (input.task != nullptr && !input.is_pairs);
  switch (select.kind_case()) {
    case config::Select::kVerified:
      return report.require(has_answers, field + ".verified",
                            field + ".verified: there are no answers to verify",
                            "put a generate stage before it, or draw data.train from a task");
    case config::Select::kRandom:
      return report.require(
          !input.at_most || select.random().examples() <= *input.at_most,
          field + ".random.examples",
          field + ".random.examples is " + std::to_string(select.random().examples()) +
              ", but its input has at most " + std::to_string(input.at_most.value_or(0)));
    case config::Select::kLength:
      return check_quantiles(select.length(), field + ".length", report);
    case config::Select::kLoss:
      report.require(input.has_losses, field + ".loss", field + ".loss: nothing measured losses",
                     needs_scores);
      return check_quantiles(select.loss(), field + ".loss", report);
    case config::Select::kGrape:
      return report.require(
          input.has_losses || select.grape().take() == config::GRAPE_TAKE_RANDOM ||
              select.grape().take() == config::GRAPE_TAKE_SHORTEST,
          field + ".grape", field + ".grape: nothing measured losses", needs_scores);
    case config::Select::kDistinct:
      return;
    case config::Select::kPairs:
      return report.require(input.is_generated, field + ".pairs",
                            field + ".pairs: there are no answers to pair",
                            "put a generate stage with samples before it");
    case config::Select::KIND_NOT_SET:
      break;
  }
  report.fail(field, field + " has no kind", "for example select: {verified: {}}");
}

void check_task(const config::Task& task, const std::string& path, const RuleReport& report) {
  report.require(task.kind_case() != config::Task::KIND_NOT_SET, path, path + " has no kind",
                 "for example task: {chain: {operations: 3}}");
}

bool needs_verifier(const std::string& metric) {
  return metric == "accuracy" || (metric.ends_with("_error") && metric != "calibration_error");
}

void check_has_verifiers(const config::Sweep& sweep, const std::string& metric,
                         const std::string& path, const RuleReport& report) {
  const std::vector<StageLinks> links = stage_links(sweep.trial());
  for (const config::EvalSet& set : sweep.data().eval()) {
    const config::Dataset& made_of =
        set.has_data() ? *find_dataset(sweep.data(), set.data()) : sweep.data().train();
    const bool has_task = set.has_task() || (set.path_size() == 0 &&
                                             dataset_facts(sweep, links, made_of).task != nullptr);
    std::string what = path;
    what.append(": ").append(metric).append(" needs a verifier, and eval set ");
    what.append(set.name()).append(" is drawn from no one task");
    report.require(has_task, path, what, "exact_match compares with the response");
  }
}

}  // namespace finescale
