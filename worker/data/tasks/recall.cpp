// SPDX-License-Identifier: Apache-2.0
// a3 b7 c1 ? b -> 7
#include <numeric>
#include <optional>
#include <vector>

#include "worker/data/tasks/task.h"
#include "worker/data/tasks/words.h"

namespace finescale {

namespace {

class RecallTask final : public Task {
 public:
  explicit RecallTask(const config::Recall& config) : config_(config) {}

  [[nodiscard]] Problem draw(Random& random) const override {
    std::vector<char> keys(26);
    std::iota(keys.begin(), keys.end(), 'a');
    const auto pairs = static_cast<std::uint64_t>(config_.pairs());
    std::string prompt;
    for (std::uint64_t i = 0; i < pairs; ++i) {  // the beginning of a random order
      std::swap(keys[i], keys[i + random.below(keys.size() - i)]);
      prompt += keys[i] + value(random) + " ";
    }
    prompt += std::string("? ") + keys[random.below(pairs)];
    return {prompt, std::string(*solve(prompt)), prompt};
  }

  [[nodiscard]] Verdict verify(std::string_view prompt, std::string_view answer) const override {
    const std::optional<std::string_view> truth = solve(prompt);
    if (!truth || !whole_number(answer)) {
      return Verdict::kFormatError;
    }
    return answer == *truth ? Verdict::kRight : Verdict::kAnswerError;
  }

  [[nodiscard]] std::string wrong_response(const Problem& problem, Random& random) const override {
    std::string other;
    do {
      other = value(random);
    } while (other == problem.response);
    return other;
  }

 private:
  [[nodiscard]] std::string value(Random& random) const {
    return std::to_string(random.below(static_cast<std::uint64_t>(config_.values())));
  }

  static std::optional<std::string_view> solve(std::string_view prompt) {
    const std::vector<std::string_view> words = split_at(prompt, ' ');
    for (std::size_t i = 0; i + 2 < words.size(); ++i) {
      if (!words[i].empty() && words.back() == words[i].substr(0, 1)) {
        return words[i].substr(1);
      }
    }
    return std::nullopt;
  }

  config::Recall config_;
};

}  // namespace

std::unique_ptr<Task> make_recall(const config::Recall& config) {
  return std::make_unique<RecallTask>(config);
}

}  // namespace finescale
