// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/plan_tool_data.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

Example copy_of(const ExampleView& view) {
  Example example;
  example.tokens.assign(view.tokens.begin(), view.tokens.end());
  example.learnt.assign(view.learnt.begin(), view.learnt.end());
  example.num_prompt = view.num_prompt;
  example.second = view.second;
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

}  // namespace finescale
