// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/plan_tool_data.h"

#include <algorithm>
#include <utility>

#include "configs/dataset_refs.h"
#include "core/error.h"

namespace finescale {

namespace {

Example copy_of(const ExampleView& view) {
  Example example;
  example.tokens.assign(view.tokens.begin(), view.tokens.end());
  example.learnt.assign(view.learnt.begin(), view.learnt.end());
  example.num_prompt = view.num_prompt;
  example.second = view.second;
  example.loss_weight = view.loss_weight;
  return example;
}

// The sequence twice: chosen and rejected.
Example pair_of(const Example& answer) {
  Example pair = answer;
  const auto length = static_cast<std::int32_t>(answer.tokens.size());
  pair.second = length;
  pair.tokens.insert(pair.tokens.end(), answer.tokens.begin(), answer.tokens.end());
  for (const LabelRange& range : answer.learnt) {
    pair.learnt.push_back({range.begin + length, range.end + length});
  }
  return pair;
}

std::int64_t guessed_size(const config::Select& select, std::int64_t size) {
  const auto part = [size](const config::Quantiles& quantiles) {
    return static_cast<std::int64_t>((quantiles.to() - quantiles.from()) *
                                     static_cast<double>(size));
  };
  std::int64_t kept = size;
  if (select.has_random()) {
    kept = select.random().examples();
  } else if (select.has_length()) {
    kept = part(select.length());
  } else if (select.has_loss()) {
    kept = part(select.loss());
  }
  return std::clamp<std::int64_t>(kept, 1, size);
}

}  // namespace

const config::DatasetRef& data_read_by(const config::StageSpec& stage) {
  if (stage.has_generate()) {
    return stage.generate().data();
  }
  FS_CHECK(stage.has_score() || stage.has_select(), "the stage leaves no data");
  return stage.has_score() ? stage.score().data() : stage.select().data();
}

std::vector<Example> guessed_data(const config::StageSpec& stage, const Dataset& source) {
  const config::Generate& generate = stage.generate().generate();
  const std::int64_t samples = stage.has_generate() ? generate.samples() : 1;
  std::int64_t size = source.size();
  if (generate.has_data_budget()) {
    size = std::min(size, generate.data_budget());
  }
  if (stage.has_select()) {
    size = guessed_size(stage.select().select(), size);
  }
  std::vector<Example> examples;
  for (std::int64_t i = 0; i < size * samples; ++i) {
    Example example = copy_of(source[i / samples]);
    examples.push_back(stage.select().select().has_pairs() ? pair_of(example) : std::move(example));
  }
  return examples;
}

bool reads_artifact(const config::DatasetRef& ref) {
  std::vector<std::string> keys;
  add_artifacts(ref, keys);
  return !keys.empty();
}

std::vector<Example> guessed_mixture(
    const config::DatasetRef& ref,
    const std::function<const Dataset&(const config::DatasetRef& input)>& dataset) {
  std::vector<Example> examples;
  const int sources = ref.has_mix() ? ref.mix().parts_size() + (ref.mix().has_replay() ? 1 : 0) : 1;
  for (int i = 0; i < sources; ++i) {
    const Dataset& source = dataset(ref.inputs(i));
    for (std::int64_t k = 0; k < source.size(); ++k) {
      examples.push_back(copy_of(source[k]));
    }
  }
  const auto resize = [&examples](double size) {
    const std::size_t before = examples.size();
    examples.resize(static_cast<std::size_t>(std::max(1.0, size)));
    for (std::size_t i = before; i < examples.size(); ++i) {
      examples[i] = examples[i % before];
    }
  };
  if (ref.mix().has_examples()) {
    const double replayed = ref.mix().has_replay() ? ref.mix().replay().fraction() : 0;
    resize(static_cast<double>(ref.mix().examples()) / (1 - replayed));
  }
  for (const config::Operator& change : ref.apply()) {
    const auto size = static_cast<double>(examples.size());
    if (change.has_sample()) {
      resize(change.sample().has_examples() ? static_cast<double>(change.sample().examples())
                                            : change.sample().fraction() * size);
    } else if (change.has_top()) {
      resize(change.top().has_examples() ? static_cast<double>(change.top().examples())
                                         : change.top().fraction() * size);
    }
  }
  return examples;
}

double tokens_of(const Dataset& data) {
  double tokens = 0;
  for (std::int64_t i = 0; i < data.size(); ++i) {
    tokens += static_cast<double>(data[i].tokens.size());
  }
  return tokens;
}

std::vector<std::vector<std::int32_t>> first_prompts(const Dataset& data,
                                                     const config::Evaluate& evaluate,
                                                     std::int64_t* asked) {
  std::vector<std::vector<std::int32_t>> prompts;
  *asked = 0;
  for (std::int64_t i = 0; i < data.size(); ++i) {
    if (data[i].num_prompt == 0 || (evaluate.has_limit() && *asked >= evaluate.limit())) {
      continue;
    }
    ++*asked;
    if (prompts.size() < 64) {
      prompts.emplace_back(data[i].tokens.begin(), data[i].tokens.begin() + data[i].num_prompt);
    }
  }
  return prompts;
}

}  // namespace finescale
