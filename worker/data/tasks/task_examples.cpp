// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tasks/task_examples.h"

#include <charconv>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "worker/data/tasks/task.h"

namespace finescale {

namespace {

constexpr std::uint32_t kHeldOutOneIn = 8;
// In a row without a new problem: with a hundredth of them left, one in 10^20 pools of this size
// would be called exhausted by mistake.
constexpr std::int64_t kMaxMisses = 5000;

RawExample example_of(const config::Task& config, const Task& task, Problem&& problem,
                      Random& random) {
  RawExample example;
  example.form = config.pairs() ? ExampleForm::kPreference : ExampleForm::kPromptResponse;
  const bool is_noise = config.noise() > 0 && random.uniform() < config.noise();
  if (config.pairs() || is_noise) {
    example.rejected = task.wrong_response(problem, random);
  }
  example.prompt = std::move(problem.prompt);
  example.response = std::move(problem.response);
  if (is_noise) {  // of a pair: the wrong way round
    std::swap(example.response, example.rejected);
  }
  if (!config.pairs()) {
    example.rejected.clear();
  }
  return example;
}

}  // namespace

config::TaskPart part_of_split(const std::string& split) {
  std::uint32_t word = 0;
  const std::string hash = hash_hex("finescale task part\n" + split);
  std::from_chars(hash.data(), hash.data() + 8, word, 16);
  return word % kHeldOutOneIn == 0 ? config::TASK_PART_HELD_OUT : config::TASK_PART_TRAIN;
}

void draw_examples(const config::Task& config, const std::string& where,
                   const std::function<bool(RawExample&& example, std::int64_t index)>& take) {
  const std::unique_ptr<Task> task = make_task(config);
  const config::TaskPart part = config.has_part() ? config.part() : config::TASK_PART_TRAIN;
  std::unordered_set<std::string> seen;
  std::int64_t misses = 0;
  for (std::uint64_t draw = 0; static_cast<std::int64_t>(seen.size()) < config.examples(); ++draw) {
    // Every draw has numbers of its own: what is passed over moves nothing.
    Random random(static_cast<std::uint64_t>(config.seed()), Purpose::kTask, draw);
    Problem problem = task->draw(random);
    if (part_of_split(problem.split) != part || !seen.insert(problem.prompt).second) {
      if (++misses > kMaxMisses) {
        throw Error(ErrorKind::kConfig,
                    "task " + task_name(config) + " has about " + std::to_string(seen.size()) +
                        " different problems of this part, and examples is " +
                        std::to_string(config.examples()),
                    where, "ask for fewer, or for a larger task");
      }
      continue;
    }
    misses = 0;
    const auto index = static_cast<std::int64_t>(seen.size());
    if (!take(example_of(config, *task, std::move(problem), random), index)) {
      return;
    }
  }
}

}  // namespace finescale
