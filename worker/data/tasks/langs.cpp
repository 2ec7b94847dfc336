// SPDX-License-Identifier: Apache-2.0
// Cipher languages: every language has its own letters for the words of the first one, and every
// second language says the words from the last to the first.
#include <algorithm>
#include <cctype>
#include <optional>
#include <vector>

#include "configs/nearest_name.h"
#include "core/error.h"
#include "worker/data/tasks/task.h"
#include "worker/data/tasks/words.h"

namespace finescale {

namespace {

constexpr std::string_view kConsonants = "bdfgklmnprstvz";  // of invented words
constexpr std::string_view kVowels = "aeiou";
// Coprime to the numbers of letters: no two of eight languages share an alphabet.
constexpr std::size_t kConsonantStep = 3;
constexpr std::size_t kVowelStep = 2;

using Words = std::vector<std::string>;

char shifted(char letter, std::size_t consonants, std::size_t vowels) {
  if (const std::size_t at = kVowels.find(letter); at != std::string_view::npos) {
    return kVowels[(at + vowels) % kVowels.size()];
  }
  const std::size_t at = kConsonants.find(letter);
  return at == std::string_view::npos ? letter
                                      : kConsonants[(at + consonants) % kConsonants.size()];
}

// Between the first language and another one.
std::string enciphered(std::string word, std::size_t language) {
  for (char& letter : word) {
    letter = shifted(letter, language * kConsonantStep, language * kVowelStep);
  }
  return word;
}
std::string deciphered(std::string word, std::size_t language) {
  for (char& letter : word) {
    letter = shifted(letter, language * (kConsonants.size() - kConsonantStep),
                     language * (kVowels.size() - kVowelStep));
  }
  return word;
}

char name_of(std::size_t language) {
  return static_cast<char>('A' + language);
}

std::string joined_words(const Words& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : " ") + word;
  }
  return text;
}

// A meaning, in the order of the first language, as a language says it, and back.
std::string said(const Words& meaning, std::size_t language) {
  Words words;
  for (const std::string& word : meaning) {
    words.push_back(enciphered(word, language));
  }
  if (language % 2 == 1) {
    std::reverse(words.begin(), words.end());
  }
  return joined_words(words);
}
Words meant(std::string_view sentence, std::size_t language) {
  Words meaning;
  for (const std::string_view word : split_at(sentence, ' ')) {
    meaning.push_back(deciphered(std::string(word), language));
  }
  if (language % 2 == 1) {
    std::reverse(meaning.begin(), meaning.end());
  }
  return meaning;
}

const std::vector<std::string>& known_questions() {
  static const std::vector<std::string> kNames = {"translate", "first"};
  return kNames;
}

class LangsTask final : public Task {
 public:
  explicit LangsTask(const config::Langs& config)
      : config_(config),
        from_(languages(config.from())),
        to_(languages(config.to())),
        questions_(config.ask().begin(), config.ask().end()) {
    for (const std::string& name : questions_) {
      if (std::find(known_questions().begin(), known_questions().end(), name) ==
          known_questions().end()) {
        throw Error(ErrorKind::kConfig,
                    "task.langs.ask: unknown " + name + did_you_mean(name, known_questions()), {},
                    "valid: " + joined(known_questions()));
      }
    }
    if (questions_.empty()) {
      questions_ = {"translate"};
    }
    const bool translates =
        std::find(questions_.begin(), questions_.end(), "translate") != questions_.end();
    if (translates && from_.size() == 1 && from_ == to_) {
      throw Error(ErrorKind::kConfig, "task.langs translates from a language to itself", {},
                  "give to another one");
    }
  }

  [[nodiscard]] Problem draw(Random& random) const override {
    const std::string& question = questions_[random.below(questions_.size())];
    Words meaning;
    for (int i = 0; i < config_.words(); ++i) {
      meaning.push_back(
          invented_word(random.below(static_cast<std::uint64_t>(config_.concepts()))));
    }
    const std::string split = joined_words(meaning);  // a sentence is held out in every language
    if (question == "first") {
      const std::size_t language = from_[random.below(from_.size())];
      const std::string prompt =
          std::string(1, name_of(language)) + " first: " + said(meaning, language);
      return {prompt, *solve(prompt), split};
    }
    std::size_t from = 0;
    std::size_t to = 0;
    do {
      from = from_[random.below(from_.size())];
      to = to_[random.below(to_.size())];
    } while (from == to);
    const std::string prompt =
        std::string(1, name_of(from)) + ">" + name_of(to) + ": " + said(meaning, from);
    return {prompt, *solve(prompt), split};
  }

  [[nodiscard]] Verdict verify(std::string_view prompt, std::string_view answer) const override {
    const std::optional<std::string> truth = solve(prompt);
    const std::vector<std::string_view> words = split_at(answer, ' ');
    const bool is_form = truth && std::all_of(words.begin(), words.end(), is_lower_word);
    if (!is_form) {
      return Verdict::kFormatError;
    }
    if (answer == *truth) {
      return Verdict::kRight;
    }
    return sorted(answer) == sorted(*truth) ? Verdict::kStepError : Verdict::kAnswerError;
  }

  // One word is another.
  [[nodiscard]] std::string wrong_response(const Problem& problem, Random& random) const override {
    Words words;
    for (const std::string_view word : split_at(problem.response, ' ')) {
      words.emplace_back(word);
    }
    std::string& changed = words[random.below(words.size())];
    char& letter = changed[random.below(changed.size())];
    letter = shifted(letter, 1 + random.below(kConsonants.size() - 1),
                     1 + random.below(kVowels.size() - 1));
    return joined_words(words);
  }

 private:
  [[nodiscard]] std::vector<std::size_t> languages(
      const google::protobuf::RepeatedField<std::int32_t>& given) const {
    std::vector<std::size_t> numbers;
    for (const std::int32_t number : given) {
      if (number > config_.languages()) {
        throw Error(ErrorKind::kConfig,
                    "task.langs: there is no language " + std::to_string(number), {},
                    "languages is " + std::to_string(config_.languages()));
      }
      numbers.push_back(static_cast<std::size_t>(number - 1));
    }
    for (int i = 0; given.empty() && i < config_.languages(); ++i) {
      numbers.push_back(static_cast<std::size_t>(i));
    }
    return numbers;
  }

  static Words sorted(std::string_view sentence) {
    Words words;
    for (const std::string_view word : split_at(sentence, ' ')) {
      words.emplace_back(word);
    }
    std::sort(words.begin(), words.end());
    return words;
  }

  // "A>B: words" or "A first: words".
  [[nodiscard]] static std::optional<std::string> solve(std::string_view prompt) {
    const std::size_t cut = prompt.find(": ");
    if (cut == std::string_view::npos || prompt[0] < 'A' || prompt[0] > 'H') {
      return std::nullopt;
    }
    const auto from = static_cast<std::size_t>(prompt[0] - 'A');
    const Words meaning = meant(prompt.substr(cut + 2), from);
    const std::string_view head = prompt.substr(1, cut - 1);
    if (head == " first") {
      return enciphered(meaning.front(), from);
    }
    if (head.size() != 2 || head[0] != '>' || head[1] < 'A' || head[1] > 'H') {
      return std::nullopt;
    }
    return said(meaning, static_cast<std::size_t>(head[1] - 'A'));
  }

  config::Langs config_;
  std::vector<std::size_t> from_;
  std::vector<std::size_t> to_;
  std::vector<std::string> questions_;
};

}  // namespace

std::unique_ptr<Task> make_langs(const config::Langs& config) {
  return std::make_unique<LangsTask>(config);
}

}  // namespace finescale
