// SPDX-License-Identifier: Apache-2.0
#include "coordinator/check_recipes.h"

#include <map>

#include <nlohmann/json.hpp>

#include "configs/canonical.h"
#include "configs/dataset_refs.h"
#include "configs/parse.h"
#include "coordinator/worker_tool.h"
#include "core/error.h"

namespace finescale {

namespace {

// Examples that a stage wants of what it reads.
struct Wanted {
  std::string field;  // of its kind
  std::int64_t examples = 0;
};

class RecipeCheck {
 public:
  RecipeCheck(const config::Sweep& sweep, const std::string& file) : sweep_(sweep), file_(file) {}

  void add(const config::StageSpec& stage) {
    switch (stage.kind_case()) {
      case config::StageSpec::kPrepare:
        return add(stage.prepare().data(), stage, {});
      case config::StageSpec::kTrain:
        for (const config::DatasetRef& set : stage.train().eval()) {
          add(set, stage, {});
        }
        return add(stage.train().data(), stage,
                   {"train.data_budget", stage.train().train().data_budget()});
      case config::StageSpec::kEvaluate:
        for (const config::DatasetRef& set : stage.evaluate().sets()) {
          add(set, stage, {});
        }
        return;
      case config::StageSpec::kGenerate:
        return add(stage.generate().data(), stage,
                   {"generate.data_budget", stage.generate().generate().data_budget()});
      case config::StageSpec::kScore:
        return add(stage.score().data(), stage, {});
      case config::StageSpec::kSelect:
        return add(stage.select().data(), stage,
                   {"select.random.examples", stage.select().select().random().examples()});
      case config::StageSpec::kTransform:
      case config::StageSpec::KIND_NOT_SET:
        return;
    }
  }

  std::vector<std::string> run() {
    std::vector<std::string> found;
    if (refs_.empty()) {
      return found;
    }
    const bool skip = sweep_.data().on_bad_example() == config::ON_BAD_EXAMPLE_SKIP;
    nlohmann::json request;
    request["on_bad_example"] = skip ? "skip" : "error";
    for (const auto& [text, ref] : refs_) {
      request["files"].push_back({{"ref", canonical_text(ref)}, {"path", ref.label()}});
    }
    const nlohmann::json answers = nlohmann::json::parse(asked(request.dump())).at("files");
    std::size_t next = 0;
    for (const auto& [text, ref] : refs_) {
      const nlohmann::json& answer = answers.at(next++);
      const auto examples = answer.at("examples").get<std::int64_t>();
      for (const auto& [stage, wanted] : wanted_[text]) {
        check(stage, wanted, ref, examples);
      }
      found.push_back(ref.label() + ": " + answer.at("what").get<std::string>());
    }
    return found;
  }

 private:
  void add(const config::DatasetRef& ref, const config::StageSpec& stage, const Wanted& wanted) {
    std::vector<std::string> left_by_stages;
    add_artifacts(ref, left_by_stages);
    if (ref.inputs_size() == 0 || !left_by_stages.empty()) {
      return;
    }
    const std::string text = key_text(ref);
    refs_.emplace(text, ref);
    if (wanted.examples > 0) {
      wanted_[text].emplace_back(stage.label(), wanted);
    }
  }

  [[nodiscard]] std::string asked(const std::string& request) const {
    try {
      return ask_worker_tool("data", request);
    } catch (const Error& error) {
      throw at_written_place(error, file_);
    }
  }

  void check(const std::string& stage, const Wanted& wanted, const config::DatasetRef& ref,
             std::int64_t examples) const {
    if (wanted.examples <= examples) {
      return;
    }
    const std::string name = wanted.field.substr(wanted.field.find('.') + 1);
    throw Error(ErrorKind::kConfig,
                stage + "." + name + " is " + std::to_string(wanted.examples) + ", but " +
                    ref.label() + " has " + std::to_string(examples) + " examples",
                written_at(file_, written_field(sweep_, stage, wanted.field)), "ask for fewer");
  }

  const config::Sweep& sweep_;
  const std::string& file_;
  std::map<std::string, config::DatasetRef> refs_;                             // by their key texts
  std::map<std::string, std::vector<std::pair<std::string, Wanted>>> wanted_;  // and stage names
};

}  // namespace

std::vector<std::string> check_recipes(const Plan& plan, const config::Sweep& sweep,
                                       const std::string& file) {
  RecipeCheck check(sweep, file);
  for (const std::string& key : plan.graph.keys()) {
    check.add(plan.graph.stages.at(key));
  }
  return check.run();
}

}  // namespace finescale
