// SPDX-License-Identifier: Apache-2.0
// Short texts of invented words, some of one topic and the rest of none; the label is the topic.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "worker/data/tasks/task.h"
#include "worker/data/tasks/words.h"

namespace finescale {

namespace {

constexpr std::array<std::string_view, 8> kLabels = {"sport", "food", "music", "money",
                                                     "law",   "art",  "sea",   "war"};
constexpr std::uint64_t kTopicWords = 12;    // of each topic
constexpr std::uint64_t kNeutralWords = 40;  // of none

// Topics lie behind each other, then the words of none.
std::string word_of(std::uint64_t topic, std::uint64_t index) {
  return invented_word(topic * kTopicWords + index);
}

class ClsTask final : public Task {
 public:
  explicit ClsTask(const config::Cls& config) : config_(config) {}

  [[nodiscard]] Problem draw(Random& random) const override {
    const auto words = static_cast<std::uint64_t>(config_.words());
    const std::uint64_t topic = random.below(static_cast<std::uint64_t>(config_.labels()));
    const auto of_topic = std::max<std::uint64_t>(
        1, static_cast<std::uint64_t>(std::llround(config_.purity() * static_cast<double>(words))));
    std::vector<std::string> text;
    for (std::uint64_t i = 0; i < words; ++i) {
      text.push_back(i < of_topic ? word_of(topic, random.below(kTopicWords))
                                  : word_of(kLabels.size(), random.below(kNeutralWords)));
      std::swap(text.back(), text[random.below(text.size())]);
    }
    std::string prompt;
    for (const std::string& word : text) {
      prompt += (prompt.empty() ? "" : " ") + word;
    }
    return {prompt, std::string(kLabels[topic]), prompt};
  }

  [[nodiscard]] Verdict verify(std::string_view prompt, std::string_view answer) const override {
    const auto end = kLabels.begin() + config_.labels();
    if (std::find(kLabels.begin(), end, answer) == end) {
      return Verdict::kFormatError;
    }
    return answer == label_of(prompt) ? Verdict::kRight : Verdict::kAnswerError;
  }

  [[nodiscard]] std::string wrong_response(const Problem& problem, Random& random) const override {
    const auto labels = static_cast<std::uint64_t>(config_.labels());
    std::uint64_t other = random.below(labels);
    other = kLabels[other] == problem.response ? (other + 1) % labels : other;
    return std::string(kLabels[other]);
  }

 private:
  // Of the first word that is of any topic: the others are of the same or of none.
  static std::string_view label_of(std::string_view prompt) {
    const std::vector<std::string_view> words = split_at(prompt, ' ');
    for (std::uint64_t i = 0; i < kLabels.size() * kTopicWords; ++i) {
      const std::string known = word_of(i / kTopicWords, i % kTopicWords);
      if (std::find(words.begin(), words.end(), known) != words.end()) {
        return kLabels[i / kTopicWords];
      }
    }
    return "";
  }

  config::Cls config_;
};

}  // namespace

std::unique_ptr<Task> make_cls(const config::Cls& config) {
  return std::make_unique<ClsTask>(config);
}

}  // namespace finescale
