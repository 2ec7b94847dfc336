// SPDX-License-Identifier: Apache-2.0
#include "configs/dataset_rules.h"

#include <algorithm>

#include "configs/data_stage_rules.h"
#include "configs/named_data.h"
#include "configs/text_template.h"

namespace finescale {

namespace {

class DatasetRules {
 public:
  DatasetRules(const config::Sweep& sweep, const std::vector<StageLinks>& links,
               const RuleReport& report)
      : sweep_(sweep), links_(links), report_(report) {}

  void check(const config::Dataset& dataset, const std::string& field) const {
    const int sources = static_cast<int>(dataset.path_size() > 0) +
                        static_cast<int>(dataset.has_task()) +
                        static_cast<int>(dataset.has_from()) +
                        static_cast<int>(dataset.has_stage()) + static_cast<int>(dataset.has_mix());
    report_.require(
        sources == 1, field, field + " must give one of path, task, from, stage and mix",
        "path reads files, task draws problems, the others take datasets: docs/data.md");
    if (dataset.has_task()) {
      check_task(dataset.task(), field + ".task", report_);
    }
    const bool is_read = dataset.path_size() > 0 || dataset.has_task();
    report_.require(is_read || !dataset.has_limit(), field + ".limit",
                    field + ".limit is of what is read from files or a task",
                    "use apply: [{top: N}]");
    if (dataset.has_mix()) {
      check_mixture(dataset.mix(), field + ".mix");
    }
    config::Dataset before = dataset;  // with the operators in front of the one that is looked at
    before.clear_apply();
    for (int i = 0; i < dataset.apply_size(); ++i) {
      const DataFacts facts = dataset_facts(sweep_, links_, before);
      check_operator(dataset.apply(i), facts, field + ".apply[" + std::to_string(i) + "]");
      *before.add_apply() = dataset.apply(i);
    }
  }

 private:
  [[nodiscard]] DataFacts facts_of(const std::string& name) const {
    return dataset_facts(sweep_, links_, *find_dataset(sweep_.data(), name));
  }

  static bool weighs(const config::Mixture& mix) {
    return mix.has_replay() ||
           std::any_of(mix.parts().begin(), mix.parts().end(),
                       [](const config::MixPart& part) { return part.loss_weight() > 0; });
  }

  void check_mixture(const config::Mixture& mix, const std::string& field) const {
    double sum = 0;
    bool ends = mix.has_examples();
    for (const config::MixPart& part : mix.parts()) {
      sum += part.ratio();
      ends = ends || !part.repeat();
    }
    report_.require(weighs(mix), field + ".parts",
                    field + ".parts: every loss_weight is 0, nothing would be learnt",
                    "give one of them a loss_weight above 0");
    if (mix.streams() == config::STREAMS_SEPARATE) {
      return report_.require(!mix.has_examples(), field + ".examples",
                             field + ".examples is of mixed streams",
                             "separate ones come around by themselves: bound the training");
    }
    report_.require(ends, field, field + " repeats every part, and has no end",
                    "give examples, or leave repeat out of one part");
    for (const config::MixPart& part : mix.parts()) {
      std::int64_t most = facts_of(part.data()).at_most.value_or(INT64_MAX);
      most = part.has_cap() ? std::min(most, part.cap()) : most;
      // Turns are dealt to one example.
      const double share = part.ratio() / sum * static_cast<double>(mix.examples()) - 1;
      const std::string path = field + ".parts." + part.data();
      report_.require(
          !mix.has_examples() || part.repeat() || share <= static_cast<double>(most), path,
          path + " gives at most " + std::to_string(most) + " examples, and its ratio of " +
              std::to_string(mix.examples()) + " is more",
          "ask for fewer, or give it repeat: true");
    }
  }

  void check_count(bool has_examples, std::int64_t examples, bool has_fraction, bool may_be_more,
                   const DataFacts& facts, const std::string& field) const {
    report_.require(has_examples != has_fraction, field,
                    field + " must give either examples or fraction");
    const bool is_enough = !facts.at_most || may_be_more || examples <= *facts.at_most;
    const std::string path = report_.is_written(field + ".examples") ? field + ".examples" : field;
    report_.require(is_enough, path,
                    path + " is " + std::to_string(examples) + ", but the dataset has at most " +
                        std::to_string(facts.at_most.value_or(0)));
  }

  void check_text(bool is_given, const std::string& text, const std::string& field) const {
    std::string fault;
    if (is_given) {
      (void)parse_text_template(text, &fault);
      report_.require(fault.empty(), field, field + ": " + fault,
                      "columns are written {prompt}, braces {{ and }}");
    }
  }

  void check_template(const config::Template& text, const std::string& field) const {
    report_.require(text.has_prompt() || text.has_response() || text.has_text() ||
                        text.has_chosen() || text.has_rejected(),
                    field, field + " writes no column", "for example {prompt: \"Q: {prompt}\"}");
    report_.require(text.has_chosen() == text.has_rejected(), field,
                    field + " must give both chosen and rejected, or none");
    check_text(text.has_prompt(), text.prompt(), field + ".prompt");
    check_text(text.has_response(), text.response(), field + ".response");
    check_text(text.has_text(), text.text(), field + ".text");
    check_text(text.has_chosen(), text.chosen(), field + ".chosen");
    check_text(text.has_rejected(), text.rejected(), field + ".rejected");
  }

  void check_k_shot(const config::KShot& k_shot, const DataFacts& facts,
                    const std::string& field) const {
    check_text(true, k_shot.shot(), field + ".shot");
    // Of a dataset of its own, the example itself is none.
    const DataFacts pool = k_shot.has_data() ? facts_of(k_shot.data()) : facts;
    const std::int64_t most = pool.at_most.value_or(INT64_MAX) - (k_shot.has_data() ? 0 : 1);
    report_.require(k_shot.examples() <= most, field,
                    field + ".examples is " + std::to_string(k_shot.examples()) +
                        ", but there are at most " + std::to_string(most) + " to choose from");
  }

  void check_operator(const config::Operator& change, const DataFacts& facts,
                      const std::string& path) const {
    switch (change.kind_case()) {
      case config::Operator::kFilter: {
        const config::Filter& filter = change.filter();
        return report_.require(
            filter.is_size() > 0 || filter.has_matches() || filter.has_min() || filter.has_max(),
            path + ".filter", path + ".filter has no condition", "give is, matches, min or max");
      }
      case config::Operator::kSample:
        return check_count(change.sample().has_examples(), change.sample().examples(),
                           change.sample().has_fraction(), change.sample().replace(), facts,
                           path + ".sample");
      case config::Operator::kTop:
        return check_count(change.top().has_examples(), change.top().examples(),
                           change.top().has_fraction(), false, facts, path + ".top");
      case config::Operator::kCorrupt:
        return report_.require(change.corrupt().how() != config::CORRUPT_HOW_WRONG ||
                                   (facts.task != nullptr && !facts.is_pairs),
                               path + ".corrupt.how",
                               path + ".corrupt.how: wrong needs responses of one task",
                               "swap works with any data");
      case config::Operator::kTemplate:
        return check_template(change.template_(), path + ".template");
      case config::Operator::kKShot:
        return check_k_shot(change.k_shot(), facts, path + ".k_shot");
      case config::Operator::kDedupe:
      case config::Operator::kRelabel:
      case config::Operator::kRank:
      case config::Operator::kJoin:
        return;
      case config::Operator::KIND_NOT_SET:
        break;
    }
    report_.fail(path, path + " has no kind", "for example {sample: 100}");
  }

  const config::Sweep& sweep_;
  const std::vector<StageLinks>& links_;
  const RuleReport& report_;
};

}  // namespace

void check_dataset(const config::Sweep& sweep, const std::vector<StageLinks>& links,
                   const config::Dataset& dataset, const std::string& field,
                   const RuleReport& report) {
  DatasetRules(sweep, links, report).check(dataset, field);
}

}  // namespace finescale
