// SPDX-License-Identifier: Apache-2.0
#include "configs/dataset_refs.h"

#include <algorithm>

#include "configs/canonical.h"
#include "configs/named_data.h"

namespace finescale {

namespace {

// A task that all of them were drawn from, but for how many and which ones.
const config::Task* common_task(const config::DatasetRef& ref, int count) {
  const config::Task* task = nullptr;
  std::string same;
  for (int i = 0; i < count; ++i) {
    if (!ref.inputs(i).has_task()) {
      return nullptr;
    }
    const std::string text = same_task_text(ref.inputs(i).task());
    if (task != nullptr && text != same) {
      return nullptr;
    }
    task = &ref.inputs(i).task();
    same = text;
  }
  return task;
}

}  // namespace

std::string same_task_text(const config::Task& task) {
  config::Task plain = task;
  plain.clear_examples();
  plain.clear_seed();
  plain.clear_noise();
  plain.clear_part();
  return key_text(plain);
}

bool keeps_verifier(const config::Operator& change) {
  return !(change.template_().has_response() || change.template_().has_text() ||
           (change.has_relabel() && change.relabel().column() == "response"));
}

config::DatasetRef DatasetRefs::leaf(const config::Dataset& dataset, const std::string& label,
                                     config::TaskPart part) const {
  config::DatasetRef ref;
  for (const std::string& path : dataset.path()) {
    *ref.add_files() = file_(path);
  }
  if (dataset.has_task()) {
    ref.set_label(label);
    *ref.mutable_task() = dataset.task();
    if (!dataset.task().has_part()) {
      ref.mutable_task()->set_part(part);
    }
  }
  if (dataset.has_limit()) {
    ref.set_limit(dataset.limit());
  }
  ref.set_format(dataset.format());
  ref.set_text_unit(dataset.text_unit());
  return ref;
}

void DatasetRefs::add_mixture(const config::Mixture& mix, config::TaskPart part,
                              config::DatasetRef& ref) const {
  *ref.mutable_mix() = mix;
  for (const config::MixPart& one : mix.parts()) {
    *ref.add_inputs() = named(one.data(), part);
  }
  if (const config::Task* task = common_task(ref, ref.inputs_size())) {
    *ref.mutable_task() = *task;
  }
  if (mix.has_replay()) {
    *ref.add_inputs() = named(mix.replay().data(), part);
    ref.clear_task();
  }
}

void DatasetRefs::add_operators(const config::Dataset& dataset, config::TaskPart part,
                                config::DatasetRef& ref) const {
  for (const config::Operator& change : dataset.apply()) {
    config::Operator& added = *ref.add_apply();
    added = change;
    if (change.join().has_data()) {
      *ref.add_inputs() = named(change.join().data(), part);
      added.mutable_join()->set_data("next");
    }
    if (change.k_shot().has_data()) {  // shots are shown: never held-out problems
      *ref.add_inputs() = named(change.k_shot().data(), config::TASK_PART_TRAIN);
      added.mutable_k_shot()->set_data("next");
    }
    if (!keeps_verifier(change)) {
      ref.clear_task();
    }
  }
}

config::DatasetRef DatasetRefs::dataset(const config::Dataset& dataset, const std::string& label,
                                        config::TaskPart part) const {
  config::DatasetRef source = dataset.has_from()    ? named(dataset.from(), part)
                              : dataset.has_stage() ? stage_data_(dataset.stage())
                                                    : leaf(dataset, label, part);
  if (!dataset.has_mix() && dataset.apply().empty()) {
    return source;  // the same data by another name
  }
  config::DatasetRef ref;
  if (dataset.has_mix()) {
    add_mixture(dataset.mix(), part, ref);
  } else {
    if (source.has_task()) {
      *ref.mutable_task() = source.task();
    }
    *ref.add_inputs() = std::move(source);
  }
  add_operators(dataset, part, ref);
  ref.set_draw_seed(dataset.seed());
  ref.set_label(label);
  return ref;
}

config::DatasetRef DatasetRefs::named(const std::string& name, config::TaskPart part) const {
  return dataset(*find_dataset(data_, name), "data.sets." + name, part);
}

config::DatasetRef DatasetRefs::pool() const {
  return dataset(data_.train(), "data.train", config::TASK_PART_TRAIN);
}

config::DatasetRef DatasetRefs::eval_set(const config::EvalSet& set) const {
  config::DatasetRef ref;
  if (set.has_data()) {
    ref = named(set.data(), config::TASK_PART_HELD_OUT);
  } else if (set.path_size() > 0 || set.has_task()) {
    config::Dataset plain;
    *plain.mutable_path() = set.path();
    if (set.has_task()) {
      *plain.mutable_task() = set.task();
    }
    if (set.has_limit()) {
      plain.set_limit(set.limit());
    }
    plain.set_format(set.format());
    plain.set_text_unit(set.text_unit());
    int place = 0;
    while (place < data_.eval_size() && data_.eval(place).name() != set.name()) {
      ++place;
    }
    ref = leaf(plain, "data.eval[" + std::to_string(place) + "]", config::TASK_PART_HELD_OUT);
  } else {
    ref = pool();
    ref.set_held_out_part(true);
  }
  ref.set_name(set.name());
  *ref.mutable_tags() = set.tags();
  return ref;
}

void add_artifacts(const config::DatasetRef& ref, std::vector<std::string>& keys) {
  if (ref.has_artifact()) {
    keys.push_back(ref.artifact());
  }
  for (const config::DatasetRef& input : ref.inputs()) {
    add_artifacts(input, keys);
  }
}

}  // namespace finescale
