// SPDX-License-Identifier: Apache-2.0
// Which colour has bamiro? -> red. What an entity has follows from its number, so verifying needs
// no table; who its friend is, from the world too.
#include <array>
#include <optional>
#include <unordered_map>

#include "worker/data/tasks/task.h"
#include "worker/data/tasks/words.h"

namespace finescale {

namespace {

struct FactAttribute {
  std::string_view name;
  std::array<std::string_view, 8> values;
};
constexpr std::array<FactAttribute, 4> kAttributes = {{
    {"colour", {"red", "blue", "green", "black", "white", "brown", "pink", "grey"}},
    {"city", {"paris", "rome", "oslo", "lima", "cairo", "delhi", "tokyo", "quito"}},
    {"job", {"baker", "pilot", "nurse", "judge", "farmer", "tailor", "singer", "miner"}},
    {"pet", {"cat", "dog", "fish", "horse", "snake", "goat", "parrot", "mouse"}},
}};
constexpr std::string_view kFriend = "friend";

// What stands before the attribute, between it and the entity, and behind the entity.
struct Template {
  std::string_view before, between, behind;
};
constexpr std::array<Template, 5> kTemplates = {{{"Which ", " has ", "?"},
                                                 {"What is the ", " of ", "?"},
                                                 {"Tell me the ", " of ", "."},
                                                 {"The ", " of ", " is"},
                                                 {"Name the ", " that belongs to ", "."}}};
constexpr std::string_view kSecondHop = "the friend of ";

struct Question {
  std::string_view attribute;
  std::string_view entity;
  bool second_hop = false;
};

std::string prompt_of(const Template& form, const Question& question) {
  std::string prompt(form.before);
  prompt.append(question.attribute).append(form.between);
  prompt.append(question.second_hop ? kSecondHop : "").append(question.entity);
  return prompt.append(form.behind);
}

// What prompt_of() was made of: few forms, so all are tried.
std::optional<Question> parse(std::string_view prompt) {
  for (const Template& form : kTemplates) {
    const std::size_t between = prompt.find(form.between);
    if (!prompt.starts_with(form.before) || !prompt.ends_with(form.behind) ||
        between == std::string_view::npos || between < form.before.size()) {
      continue;
    }
    Question question;
    question.attribute = prompt.substr(form.before.size(), between - form.before.size());
    const std::size_t begin = between + form.between.size();
    question.entity = prompt.substr(begin, prompt.size() - form.behind.size() - begin);
    question.second_hop = question.entity.starts_with(kSecondHop);
    question.entity = question.entity.substr(question.second_hop ? kSecondHop.size() : 0);
    if (prompt_of(form, question) == prompt) {
      return question;
    }
  }
  return std::nullopt;
}

class FactsTask final : public Task {
 public:
  explicit FactsTask(const config::Facts& config) : config_(config) {
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(config.entities()); ++i) {
      entities_.emplace(invented_word(first() + i), first() + i);
    }
  }

  [[nodiscard]] Problem draw(Random& random) const override {
    const Template& form = kTemplates[random.below(kTemplates.size())];
    const std::string entity =
        invented_word(first() + random.below(static_cast<std::uint64_t>(config_.entities())));
    Question question{kFriend, entity, config_.hops() == 2};
    // Friends are asked for too: who knows them can go on from there.
    const std::uint64_t asked = random.below(kAttributes.size() + (question.second_hop ? 0 : 1));
    question.attribute = asked < kAttributes.size() ? kAttributes[asked].name : kFriend;
    const std::string prompt = prompt_of(form, question);
    return {prompt, *solve(question), prompt};
  }

  // step_error: what the entity itself has, where its friend was asked about.
  [[nodiscard]] Verdict verify(std::string_view prompt, std::string_view answer) const override {
    const std::optional<Question> question = parse(prompt);
    const std::optional<std::string> truth = question ? solve(*question) : std::nullopt;
    if (!truth || !is_lower_word(answer)) {
      return Verdict::kFormatError;
    }
    if (answer == *truth) {
      return Verdict::kRight;
    }
    const Question first_hop{question->attribute, question->entity, false};
    return question->second_hop && answer == *solve(first_hop) ? Verdict::kStepError
                                                               : Verdict::kAnswerError;
  }

  [[nodiscard]] std::string wrong_response(const Problem& problem, Random& random) const override {
    const std::optional<Question> question = parse(problem.prompt);
    std::string other;
    do {
      const std::uint64_t pick = random.below(static_cast<std::uint64_t>(config_.entities()));
      other = *value_of(first() + pick, question->attribute);
      // In a small world all may have the same: any value will do then.
      other = other == problem.response && question->attribute != kFriend
                  ? std::string(attribute(question->attribute)->values[random.below(8)])
                  : other;
      other = other == problem.response && question->attribute == kFriend
                  ? invented_word(first() + pick)
                  : other;
    } while (other == problem.response);
    return other;
  }

 private:
  [[nodiscard]] std::uint64_t first() const {
    return static_cast<std::uint64_t>(config_.first_entity());
  }

  static const FactAttribute* attribute(std::string_view name) {
    for (const FactAttribute& known : kAttributes) {
      if (known.name == name) {
        return &known;
      }
    }
    return nullptr;
  }

  // Entity and attribute say what; the friend is another one of the same range.
  [[nodiscard]] std::uint64_t friend_of(std::uint64_t entity) const {
    const auto entities = static_cast<std::uint64_t>(config_.entities());
    const std::uint64_t step = 1 + philox(0, Purpose::kTask, entity, 100)[0] % (entities - 1);
    return first() + (entity - first() + step) % entities;
  }

  [[nodiscard]] std::optional<std::string> value_of(std::uint64_t entity,
                                                    std::string_view name) const {
    if (name == kFriend) {
      return invented_word(friend_of(entity));
    }
    const FactAttribute* known = attribute(name);
    if (known == nullptr) {
      return std::nullopt;
    }
    const auto index = static_cast<std::uint64_t>(known - kAttributes.data());
    return std::string(known->values[philox(0, Purpose::kTask, entity, index)[0] % 8]);
  }

  [[nodiscard]] std::optional<std::string> solve(const Question& question) const {
    const auto found = entities_.find(std::string(question.entity));
    if (found == entities_.end()) {
      return std::nullopt;
    }
    return value_of(question.second_hop ? friend_of(found->second) : found->second,
                    question.attribute);
  }

  config::Facts config_;
  std::unordered_map<std::string, std::uint64_t> entities_;  // by name
};

}  // namespace

std::unique_ptr<Task> make_facts(const config::Facts& config) {
  return std::make_unique<FactsTask>(config);
}

}  // namespace finescale
