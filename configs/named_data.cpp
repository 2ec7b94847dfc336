// SPDX-License-Identifier: Apache-2.0
#include "configs/named_data.h"

#include <algorithm>

#include "configs/nearest_name.h"
#include "configs/rounds.h"
#include "configs/stage_links.h"

namespace finescale {

namespace {

using MaybeFault = std::optional<DataFault>;

void collect_stages(const config::Data& data, const config::Dataset& dataset,
                    std::set<std::string>& stages) {
  if (dataset.has_stage()) {
    stages.insert(dataset.stage());
  }
  for (const NamedUse& use : names_used(dataset)) {
    collect_stages(data, *find_dataset(data, use.name), stages);
  }
}

class DataFaults {
 public:
  DataFaults(const config::Sweep& sweep, const std::vector<std::string>& paths)
      : paths_(paths),
        data_(sweep.data()),
        trial_(sweep.trial()),
        known_(dataset_names(data_)),
        sweep_(sweep) {}

  [[nodiscard]] MaybeFault find() const {
    for (const config::NamedDataset& set : data_.sets()) {
      std::vector<std::string> way = {set.name()};
      if (auto fault = of_dataset(set.dataset(), "data.sets." + set.name(), way)) {
        return fault;
      }
    }
    std::vector<std::string> way;
    if (auto fault = of_dataset(data_.train(), "data.train", way)) {
      return fault;
    }
    if (auto fault = of_eval_sets()) {
      return fault;
    }
    if (auto fault = of_pretraining()) {
      return fault;
    }
    return of_stages();
  }

 private:
  [[nodiscard]] MaybeFault of_name(const std::string& name, const std::string& path) const {
    if (find_dataset(data_, name) != nullptr) {
      return std::nullopt;
    }
    return DataFault{path, path + ": no dataset is called " + name + did_you_mean(name, known_),
                     known_.empty() ? "name it under data.sets" : "data.sets: " + joined(known_)};
  }

  // `way`: names on the way from the first to this one.
  [[nodiscard]] MaybeFault of_dataset(const config::Dataset& dataset, const std::string& path,
                                      std::vector<std::string>& way) const {
    if (dataset.has_stage()) {
      if (auto fault = of_stage_name(dataset.stage(), path + ".stage")) {
        return fault;
      }
    }
    for (const NamedUse& use : names_used(dataset)) {
      const std::string field = path + "." + use.field;
      if (auto fault = of_name(use.name, field)) {
        return fault;
      }
      if (const auto begin = std::find(way.begin(), way.end(), use.name); begin != way.end()) {
        std::string circle;
        for (auto at = begin; at != way.end(); ++at) {
          circle += *at + " -> ";
        }
        return DataFault{field, field + ": the dataset is made of itself: " + circle + use.name,
                         "take one of them from files or a task"};
      }
      way.push_back(use.name);
      auto fault = of_dataset(*find_dataset(data_, use.name), "data.sets." + use.name, way);
      way.pop_back();
      if (fault) {
        return fault;
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] MaybeFault of_stage_name(const std::string& name, const std::string& path) const {
    std::vector<std::string> leaving;
    for (const config::Stage& stage : trial_.stages()) {
      if (leaves_data(stage)) {
        leaving.emplace_back(name_without_round(stage.name()));
      } else if (name_without_round(stage.name()) == name) {
        return DataFault{path, path + ": stage " + name + " leaves no examples",
                         "generate, score and select do"};
      }
    }
    if (std::find(leaving.begin(), leaving.end(), name) != leaving.end()) {
      return std::nullopt;
    }
    return DataFault{path, path + ": no stage is called " + name + did_you_mean(name, leaving),
                     "generate, score and select leave examples"};
  }

  // That all stages that the dataset is made of stand before this place.
  [[nodiscard]] MaybeFault of_reading(const config::Dataset& dataset, int place,
                                      const std::string& path, const std::string& what) const {
    std::set<std::string> used = stages_used(data_, dataset);
    for (int i = 0; i < place; ++i) {  // of a round, the newest one is read
      used.erase(std::string(name_without_round(trial_.stages(i).name())));
    }
    for (int i = place; i < trial_.stages_size(); ++i) {
      const std::string name(name_without_round(trial_.stages(i).name()));
      if (used.contains(name)) {
        std::string text = path;
        text.append(": ").append(what).append(" is made of what stage ");
        text.append(name).append(" leaves, which ");
        text += i == place ? "is this one" : "comes later";
        return DataFault{path, text, "put the stage in front of what reads it"};
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] MaybeFault of_eval_sets() const {
    for (int i = 0; i < data_.eval_size(); ++i) {
      if (data_.eval(i).has_data()) {
        if (auto fault =
                of_name(data_.eval(i).data(), "data.eval[" + std::to_string(i) + "].data")) {
          return fault;
        }
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] MaybeFault of_pretraining() const {
    if (!sweep_.base().has_pretrain()) {
      return std::nullopt;
    }
    const config::Dataset& text = sweep_.base().pretrain().data();
    std::vector<std::string> way;
    if (auto fault = of_dataset(text, "base.pretrain.data", way)) {
      return fault;
    }
    return of_reading(text, 0, "base.pretrain.data", "it");
  }

  [[nodiscard]] MaybeFault of_stages() const {
    const std::vector<StageLinks> links = stage_links(trial_);
    for (int i = 0; i < trial_.stages_size(); ++i) {
      const config::Stage& stage = trial_.stages(i);
      const std::string& path = paths_[static_cast<std::size_t>(i)];
      if (const std::string& name = data_asked_by(stage); !name.empty()) {
        const std::string field = path + "." + kind_name(stage) + ".data";
        if (auto fault = of_name(name, field)) {
          return fault;
        }
        if (auto fault = of_reading(*find_dataset(data_, name), i, field, "dataset " + name)) {
          return fault;
        }
      }
      const StageLinks& link = links[static_cast<std::size_t>(i)];
      const bool reads_pool =
          !stage.has_evaluate() && !stage.has_transform() && link.data < 0 && link.set.empty();
      if (auto fault =
              reads_pool ? of_reading(data_.train(), i, path, "data.train") : MaybeFault()) {
        return fault;
      }
      if (auto fault = of_measuring(stage, i, path)) {
        return fault;
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] MaybeFault of_measuring(const config::Stage& stage, int place,
                                        const std::string& path) const {
    if (!stage.has_evaluate() && stage.train().eval_every() == 0) {
      return std::nullopt;
    }
    for (const config::EvalSet& set : data_.eval()) {
      const config::Dataset* dataset = set.has_data() ? find_dataset(data_, set.data()) : nullptr;
      if (auto fault = dataset == nullptr
                           ? MaybeFault()
                           : of_reading(*dataset, place, path, "eval set " + set.name())) {
        return fault;
      }
    }
    return std::nullopt;
  }

  static std::string kind_name(const config::Stage& stage) {
    return stage.GetReflection()
        ->GetOneofFieldDescriptor(stage, stage.GetDescriptor()->oneof_decl(0))
        ->name();
  }

  const std::vector<std::string>& paths_;
  const config::Data& data_;
  const config::Trial& trial_;
  std::vector<std::string> known_;
  const config::Sweep& sweep_;
};

}  // namespace

const config::Dataset* find_dataset(const config::Data& data, const std::string& name) {
  const auto found =
      std::find_if(data.sets().begin(), data.sets().end(),
                   [&](const config::NamedDataset& set) { return set.name() == name; });
  return found == data.sets().end() ? nullptr : &found->dataset();
}

std::vector<std::string> dataset_names(const config::Data& data) {
  std::vector<std::string> names;
  for (const config::NamedDataset& set : data.sets()) {
    names.push_back(set.name());
  }
  return names;
}

const std::string& data_asked_by(const config::Stage& stage) {
  switch (stage.kind_case()) {
    case config::Stage::kTrain:
      return stage.train().data();
    case config::Stage::kGenerate:
      return stage.generate().data();
    case config::Stage::kScore:
      return stage.score().data();
    case config::Stage::kSelect:
      return stage.select().data();
    case config::Stage::kEvaluate:
    case config::Stage::kTransform:
    case config::Stage::kRounds:
    case config::Stage::KIND_NOT_SET:
      break;
  }
  static const std::string kNone;
  return kNone;
}

std::vector<NamedUse> names_used(const config::Dataset& dataset) {
  std::vector<NamedUse> uses;
  if (dataset.has_from()) {
    uses.push_back({dataset.from(), "from"});
  }
  for (const config::MixPart& part : dataset.mix().parts()) {
    uses.push_back({part.data(), "mix.parts." + part.data()});
  }
  if (dataset.mix().has_replay()) {
    uses.push_back({dataset.mix().replay().data(), "mix.replay"});
  }
  for (int i = 0; i < dataset.apply_size(); ++i) {
    const std::string field = "apply[" + std::to_string(i) + "].";
    if (dataset.apply(i).join().has_data()) {
      uses.push_back({dataset.apply(i).join().data(), field + "join"});
    }
    if (dataset.apply(i).k_shot().has_data()) {
      uses.push_back({dataset.apply(i).k_shot().data(), field + "k_shot.data"});
    }
  }
  return uses;
}

std::set<std::string> stages_used(const config::Data& data, const config::Dataset& dataset) {
  std::set<std::string> stages;
  collect_stages(data, dataset, stages);
  return stages;
}

std::optional<DataFault> find_data_fault(const config::Sweep& sweep,
                                         const std::vector<std::string>& paths) {
  return DataFaults(sweep, paths).find();
}

}  // namespace finescale
