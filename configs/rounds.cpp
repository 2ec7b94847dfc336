// SPDX-License-Identifier: Apache-2.0
#include "configs/rounds.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace finescale {

namespace {

constexpr char kRoundMark = '@';  // no user's name has it
constexpr std::string_view kRoundNumber = "{round}";

std::string name_in(const std::string& name, int round, int times) {
  return round == times ? name : name + kRoundMark + std::to_string(round);
}

int place_of(const config::Rounds& rounds, const std::string& name) {
  for (int i = 0; i < rounds.stages_size(); ++i) {
    if (rounds.stages(i).name() == name) {
      return i;
    }
  }
  return -1;
}

// The dataset that the stage names, or null.
std::string* dataset_name(config::Stage& stage) {
  switch (stage.kind_case()) {
    case config::Stage::kTrain:
      return stage.train().has_data() ? stage.mutable_train()->mutable_data() : nullptr;
    case config::Stage::kGenerate:
      return stage.generate().has_data() ? stage.mutable_generate()->mutable_data() : nullptr;
    case config::Stage::kScore:
      return stage.score().has_data() ? stage.mutable_score()->mutable_data() : nullptr;
    case config::Stage::kSelect:
      return stage.select().has_data() ? stage.mutable_select()->mutable_data() : nullptr;
    default:
      return nullptr;
  }
}

// `data: part{round}`: every round has a dataset of its own.
void number_dataset(config::Stage& stage, int round) {
  std::string* name = dataset_name(stage);
  const std::size_t at = name == nullptr ? std::string::npos : name->find(kRoundNumber);
  if (at != std::string::npos) {
    name->replace(at, kRoundNumber.size(), std::to_string(round));
  }
}

// `entry`: the stage in front of the rounds.
void add_round(const config::Rounds& rounds, int round, const std::string& entry,
               const std::string& path, FlatTrial& out) {
  for (int i = 0; i < rounds.stages_size(); ++i) {
    config::Stage& stage = *out.trial.add_stages();
    stage = rounds.stages(i);
    stage.set_name(name_in(stage.name(), round, rounds.times()));
    number_dataset(stage, round);
    out.paths.push_back(path + ".rounds.stages[" + std::to_string(i) + "]");
    const auto settle = [&](std::string& from) {
      const int place = place_of(rounds, from);
      if (place >= 0) {
        const int newest = place < i ? round : round - 1;
        from = newest > 0 ? name_in(from, newest, rounds.times()) : entry;
      }
    };
    for (std::string& from : *stage.mutable_from()) {
      settle(from);
    }
    if (stage.train().objective().distill().has_teacher()) {
      settle(*stage.mutable_train()->mutable_objective()->mutable_distill()->mutable_teacher());
    }
  }
}

}  // namespace

bool has_rounds(const config::Trial& trial) {
  return std::any_of(trial.stages().begin(), trial.stages().end(),
                     [](const config::Stage& stage) { return stage.has_rounds(); });
}

FlatTrial flattened(const config::Trial& trial) {
  FlatTrial out;
  std::string before = "base";
  for (int i = 0; i < trial.stages_size(); ++i) {
    const config::Stage& stage = trial.stages(i);
    const std::string path = "trial.stages[" + std::to_string(i) + "]";
    if (stage.has_rounds()) {
      for (int round = 1; round <= stage.rounds().times(); ++round) {
        add_round(stage.rounds(), round, before, path, out);
      }
    } else {
      *out.trial.add_stages() = stage;
      out.paths.push_back(path);
    }
    if (out.trial.stages_size() > 0) {
      before = out.trial.stages(out.trial.stages_size() - 1).name();
    }
  }
  return out;
}

std::string_view name_without_round(std::string_view name) {
  return name.substr(0, name.find(kRoundMark));
}

}  // namespace finescale
