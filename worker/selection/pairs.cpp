// SPDX-License-Identifier: Apache-2.0
// Preference pairs from the answers to a prompt: the i-th different right one against the i-th
// different wrong one.
#include <algorithm>
#include <unordered_map>

#include "worker/selection/selector.h"

namespace finescale {

namespace {

struct Answers {
  std::vector<std::string> right, wrong;  // different ones, as they came
};

void add_once(std::vector<std::string>& answers, std::string&& answer) {
  if (std::find(answers.begin(), answers.end(), answer) == answers.end()) {
    answers.push_back(std::move(answer));
  }
}

class PairSelector final : public Selector {
 public:
  explicit PairSelector(int per_prompt) : per_prompt_(static_cast<std::size_t>(per_prompt)) {}

  [[nodiscard]] std::vector<RawExample> select(std::vector<RawExample> examples,
                                               const SelectionContext& context) const override {
    std::vector<std::string> prompts;  // as they came
    std::unordered_map<std::string, Answers> answers;
    for (RawExample& example : examples) {
      const auto [held, is_new] = answers.try_emplace(example.prompt);
      if (is_new) {
        prompts.push_back(example.prompt);
      }
      add_once(context.is_right(example) ? held->second.right : held->second.wrong,
               std::move(example.response));
    }
    std::vector<RawExample> pairs;
    for (const std::string& prompt : prompts) {
      const Answers& of = answers[prompt];
      for (std::size_t i = 0; i < std::min({of.right.size(), of.wrong.size(), per_prompt_}); ++i) {
        RawExample& pair = pairs.emplace_back();
        pair.form = ExampleForm::kPreference;
        pair.prompt = prompt;
        pair.response = of.right[i];
        pair.rejected = of.wrong[i];
      }
    }
    return pairs;
  }

 private:
  std::size_t per_prompt_;
};

}  // namespace

std::unique_ptr<Selector> make_pairs(const config::Pairs& config) {
  return std::make_unique<PairSelector>(config.per_prompt());
}

}  // namespace finescale
