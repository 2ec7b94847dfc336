// SPDX-License-Identifier: Apache-2.0
// reverse sort: dbca -> operations on a string, the first word first.
#include <algorithm>
#include <optional>
#include <vector>

#include "configs/nearest_name.h"
#include "core/error.h"
#include "worker/data/tasks/task.h"
#include "worker/data/tasks/words.h"

namespace finescale {

namespace {

const std::vector<std::string>& edit_operations() {
  static const std::vector<std::string> kNames = {"copy",   "reverse", "sort",
                                                  "rotate", "dedupe",  "map"};
  return kNames;
}

constexpr std::string_view kColon = ": ";

class EditTask final : public Task {
 public:
  explicit EditTask(const config::Edit& config)
      : config_(config), operations_(config.operations().begin(), config.operations().end()) {
    for (const std::string& name : operations_) {
      if (std::find(edit_operations().begin(), edit_operations().end(), name) ==
          edit_operations().end()) {
        throw Error(ErrorKind::kConfig,
                    "task.edit.operations: unknown " + name + did_you_mean(name, edit_operations()),
                    {}, "valid: " + joined(edit_operations()));
      }
    }
    if (operations_.empty()) {
      operations_ = edit_operations();
    }
  }

  [[nodiscard]] Problem draw(Random& random) const override {
    std::string instruction;
    for (int i = 0; i < config_.compose(); ++i) {
      instruction += (i > 0 ? " " : "") + operations_[random.below(operations_.size())];
    }
    const std::uint64_t length = 1 + random.below(static_cast<std::uint64_t>(config_.length()));
    std::string text;
    for (std::uint64_t i = 0; i < length; ++i) {
      text += letter(random.below(static_cast<std::uint64_t>(config_.alphabet())));
    }
    const std::string prompt = instruction + std::string(kColon) + text;
    return {prompt, *solve(prompt), config_.compose() > 1 ? instruction : prompt};
  }

  [[nodiscard]] Verdict verify(std::string_view prompt, std::string_view answer) const override {
    const std::optional<std::string> truth = solve(prompt);
    if (!truth || !is_lower_word(answer)) {
      return Verdict::kFormatError;
    }
    return answer == *truth ? Verdict::kRight : Verdict::kAnswerError;
  }

  // One letter is another.
  [[nodiscard]] std::string wrong_response(const Problem& problem, Random& random) const override {
    std::string text = problem.response;
    const auto alphabet = static_cast<std::uint64_t>(config_.alphabet());
    char& changed = text[random.below(text.size())];
    const auto was = static_cast<std::uint64_t>(changed - 'a');
    changed = letter((was + 1 + random.below(alphabet - 1)) % alphabet);
    return text;
  }

 private:
  static char letter(std::uint64_t index) { return static_cast<char>('a' + index); }

  [[nodiscard]] std::optional<std::string> apply(std::string_view operation,
                                                 std::string text) const {
    if (operation == "reverse") {
      std::reverse(text.begin(), text.end());
    } else if (operation == "sort") {
      std::sort(text.begin(), text.end());
    } else if (operation == "rotate") {  // the first letter goes to the end
      std::rotate(text.begin(), text.begin() + 1, text.end());
    } else if (operation == "dedupe") {  // the first of equal letters stays
      std::string once;
      for (const char c : text) {
        once += once.find(c) == std::string::npos ? std::string(1, c) : "";
      }
      text = once;
    } else if (operation == "map") {  // every letter becomes the next, the last the first
      for (char& c : text) {
        c = letter((static_cast<std::uint64_t>(c - 'a') + 1) %
                   static_cast<std::uint64_t>(config_.alphabet()));
      }
    } else if (operation != "copy") {
      return std::nullopt;
    }
    return text;
  }

  [[nodiscard]] std::optional<std::string> solve(std::string_view prompt) const {
    const std::size_t cut = prompt.find(kColon);
    if (cut == std::string_view::npos || !is_lower_word(prompt.substr(cut + kColon.size()))) {
      return std::nullopt;
    }
    std::optional<std::string> text(prompt.substr(cut + kColon.size()));
    for (const std::string_view operation : split_at(prompt.substr(0, cut), ' ')) {
      text = text ? apply(operation, *text) : text;
    }
    return text;
  }

  config::Edit config_;
  std::vector<std::string> operations_;
};

}  // namespace

std::unique_ptr<Task> make_edit(const config::Edit& config) {
  return std::make_unique<EditTask>(config);
}

}  // namespace finescale
