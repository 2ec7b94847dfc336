// SPDX-License-Identifier: Apache-2.0
// 7+3*4 mod 10, worked from left to right: 7+3=0;0*4=0;ans:0
#include <algorithm>
#include <optional>
#include <vector>

#include "worker/data/tasks/task.h"
#include "worker/data/tasks/words.h"

namespace finescale {

namespace {

constexpr std::string_view kOperations = "+-*";
constexpr std::string_view kTag = "ans:";
constexpr std::string_view kModulus = " mod ";

struct Step {
  std::int64_t left = 0;
  char operation = '+';
  std::int64_t right = 0;
  std::int64_t result = 0;
};

struct Work {
  std::vector<Step> steps;
  std::int64_t answer = 0;
};

std::int64_t apply(const Step& step, std::int64_t modulus) {
  const std::int64_t value = step.operation == '+'   ? step.left + step.right
                             : step.operation == '-' ? step.left - step.right + modulus
                                                     : step.left * step.right;
  return value % modulus;
}

std::string text_of(const Step& step) {
  return std::to_string(step.left) + step.operation + std::to_string(step.right) + "=" +
         std::to_string(step.result);
}

// "a+b" -> {a, +, b}
std::optional<Step> parse_operation(std::string_view text) {
  const std::size_t at = text.find_first_of(kOperations);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  const auto left = whole_number(text.substr(0, at));
  const auto right = whole_number(text.substr(at + 1));
  return left && right ? std::optional<Step>({*left, text[at], *right, 0}) : std::nullopt;
}

std::optional<Step> parse_step(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return std::nullopt;
  }
  std::optional<Step> step = parse_operation(text.substr(0, equals));
  const auto result = whole_number(text.substr(equals + 1));
  if (!step || !result) {
    return std::nullopt;
  }
  step->result = *result;
  return step;
}

class ChainTask final : public Task {
 public:
  explicit ChainTask(const config::Chain& config) : config_(config) {}

  [[nodiscard]] Problem draw(Random& random) const override {
    const auto modulus = static_cast<std::uint64_t>(config_.modulus());
    std::string prompt = std::to_string(random.below(modulus));
    for (int i = 0; i < config_.operations(); ++i) {
      prompt += kOperations[random.below(kOperations.size())];
      prompt += std::to_string(random.below(modulus));
    }
    prompt += std::string(kModulus) + std::to_string(modulus);
    return {prompt, response(*solve(prompt)), prompt};
  }

  [[nodiscard]] Verdict verify(std::string_view prompt, std::string_view answer) const override {
    const std::optional<Work> truth = solve(prompt);
    if (config_.any_form()) {
      const auto last = last_number(answer);
      return !truth || !last          ? Verdict::kFormatError
             : *last == truth->answer ? Verdict::kRight
                                      : Verdict::kAnswerError;
    }
    const std::optional<Work> given = parse_answer(answer);
    if (!truth || !given) {
      return Verdict::kFormatError;
    }
    if (config_.trace()) {
      if (given->steps.size() != truth->steps.size()) {
        return Verdict::kStepError;
      }
      for (std::size_t i = 0; i < truth->steps.size(); ++i) {
        if (text_of(given->steps[i]) != text_of(truth->steps[i])) {
          return Verdict::kStepError;
        }
      }
    }
    return given->answer == truth->answer ? Verdict::kRight : Verdict::kAnswerError;
  }

  // One step goes wrong, and what follows goes on from there; without a trace only its end shows.
  [[nodiscard]] std::string wrong_response(const Problem& problem, Random& random) const override {
    Work work = *solve(problem.prompt);
    const std::int64_t modulus = config_.modulus();
    const auto other = [&](std::int64_t value) {
      return (value + 1 +
              static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(modulus - 1)))) %
             modulus;
    };
    if (!config_.trace()) {
      work.answer = other(work.answer);
      return response(work);
    }
    // Where the answer alone counts, the last step: an error before it may be multiplied by 0.
    const std::size_t wrong =
        config_.any_form() ? work.steps.size() - 1 : random.below(work.steps.size());
    for (std::size_t i = wrong; i < work.steps.size(); ++i) {
      Step& step = work.steps[i];
      step.left = i == wrong ? step.left : work.steps[i - 1].result;
      step.result = i == wrong ? other(step.result) : apply(step, modulus);
    }
    work.answer = work.steps.back().result;
    return response(work);
  }

 private:
  // Of whatever was written in front of it.
  [[nodiscard]] static std::optional<std::int64_t> last_number(std::string_view answer) {
    std::vector<std::string_view> pieces = split_at(answer, ';');
    const std::string_view last = pieces.back();
    pieces.pop_back();
    const bool are_steps = std::all_of(pieces.begin(), pieces.end(), [](std::string_view piece) {
      return parse_step(piece).has_value();
    });
    if (!are_steps) {
      return std::nullopt;
    }
    return whole_number(last.starts_with(kTag) ? last.substr(kTag.size()) : last);
  }

  [[nodiscard]] static std::optional<Work> solve(std::string_view prompt) {
    const std::size_t cut = prompt.find(kModulus);
    if (cut == std::string_view::npos) {
      return std::nullopt;
    }
    const auto modulus = whole_number(prompt.substr(cut + kModulus.size()));
    std::string_view rest = prompt.substr(0, cut);
    std::size_t end = rest.find_first_of(kOperations);
    auto value = whole_number(rest.substr(0, end));
    Work work;
    while (value && modulus && end != std::string_view::npos) {
      const char operation = rest[end];
      rest = rest.substr(end + 1);
      end = rest.find_first_of(kOperations);
      const auto right = whole_number(rest.substr(0, end));
      if (!right) {
        return std::nullopt;
      }
      Step step{*value, operation, *right, 0};
      step.result = apply(step, *modulus);
      work.steps.push_back(step);
      value = step.result;
    }
    if (!value || !modulus || work.steps.empty()) {
      return std::nullopt;
    }
    work.answer = *value;
    return work;
  }

  [[nodiscard]] std::string response(const Work& work) const {
    std::string text;
    for (const Step& step : work.steps) {
      text += config_.trace() ? text_of(step) + ";" : "";
    }
    return text + (config_.tagged() ? std::string(kTag) : "") + std::to_string(work.answer);
  }

  [[nodiscard]] std::optional<Work> parse_answer(std::string_view text) const {
    std::vector<std::string_view> pieces = split_at(text, ';');
    std::string_view last = pieces.back();
    pieces.pop_back();
    if (config_.tagged()) {
      if (!last.starts_with(kTag)) {
        return std::nullopt;
      }
      last = last.substr(kTag.size());
    }
    const auto answer = whole_number(last);
    if (!answer || (!config_.trace() && !pieces.empty())) {
      return std::nullopt;
    }
    Work work;
    for (const std::string_view piece : pieces) {
      const std::optional<Step> step = parse_step(piece);
      if (!step) {
        return std::nullopt;
      }
      work.steps.push_back(*step);
    }
    work.answer = *answer;
    return work;
  }

  config::Chain config_;
};

}  // namespace

std::unique_ptr<Task> make_chain(const config::Chain& config) {
  return std::make_unique<ChainTask>(config);
}

}  // namespace finescale
