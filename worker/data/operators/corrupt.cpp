// SPDX-License-Identifier: Apache-2.0
// A part of the rows spoilt: which ones is a matter of the seed alone, and more hold fewer.
#include <algorithm>
#include <cctype>
#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "worker/data/operators/operator.h"
#include "worker/data/tasks/words.h"

namespace finescale {

namespace {

constexpr int kTries = 64;  // for another value

class CorruptOperator final : public Operator {
 public:
  explicit CorruptOperator(const config::Corrupt& config) : config_(config) {}

  void apply(std::vector<Row>& rows, const OperatorContext& context) const override {
    const auto count = static_cast<std::uint64_t>(
        std::llround(config_.fraction() * static_cast<double>(rows.size())));
    const Permutation order(rows.size(), context.seed, Purpose::kSubset);
    const std::string& column =
        config_.how() == config::CORRUPT_HOW_WRONG ? response() : config_.column();
    std::vector<std::string> values;  // as they were
    if (config_.how() == config::CORRUPT_HOW_SWAP && count > 0) {
      for (const Row& row : rows) {
        values.push_back(text_of(row, column, context.where));
      }
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t place = order[i];
      Random random(context.seed, Purpose::kTask, place);
      rows[place][column] = spoilt(rows[place], column, values, random, context);
      rows[place]["corrupted"] = true;
    }
  }

 private:
  static const std::string& response() {
    static const std::string kResponse = "response";
    return kResponse;
  }

  [[nodiscard]] std::string spoilt(const Row& row, const std::string& column,
                                   const std::vector<std::string>& values, Random& random,
                                   const OperatorContext& context) const {
    const std::string text = text_of(row, column, context.where);
    switch (config_.how()) {
      case config::CORRUPT_HOW_SWAP:
        return another(values, text, random, context);
      case config::CORRUPT_HOW_WRONG:
        FS_CHECK(context.task != nullptr, "how: wrong needs a task: rules were not checked");
        return context.task->wrong_response({problem_of(row, context.where), text, ""}, random);
      case config::CORRUPT_HOW_CHARACTERS:
        return with_other_letters(text, random, context);
      case config::CORRUPT_HOW_WORDS:
        break;
    }
    return in_another_order(text, random, context);
  }

  // An example that is called spoilt is not what it was.
  [[noreturn]] static void refuse(const std::string& text, const char* why,
                                  const OperatorContext& context) {
    throw Error(ErrorKind::kData, "corrupt: '" + text.substr(0, 60) + "' " + why, context.where);
  }

  static std::string another(const std::vector<std::string>& values, const std::string& text,
                             Random& random, const OperatorContext& context) {
    for (int i = 0; i < kTries; ++i) {
      const std::string& value = values[random.below(values.size())];
      if (value != text) {
        return value;
      }
    }
    throw Error(ErrorKind::kData, "nearly all examples have the same value: nothing to swap",
                context.where);
  }

  [[nodiscard]] std::string with_other_letters(std::string text, Random& random,
                                               const OperatorContext& context) const {
    std::vector<std::size_t> plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (static_cast<unsigned char>(text[i]) < 128) {
        plain.push_back(i);
      }
    }
    if (plain.empty()) {
      refuse(text, "has no ASCII letter to replace; take another 'how'", context);
    }
    const std::size_t must = plain[random.below(plain.size())];
    for (const std::size_t i : plain) {
      if (i == must || random.uniform() < config_.strength()) {
        const auto letter = static_cast<char>('a' + random.below(25));
        text[i] = letter == text[i] ? 'z' : letter;
      }
    }
    return text;
  }

  static std::string in_another_order(const std::string& text, Random& random,
                                      const OperatorContext& context) {
    const std::vector<std::string_view> before = split_at(text, ' ');
    std::vector<std::string_view> words = before;
    for (std::size_t i = words.size(); i > 1; --i) {
      std::swap(words[i - 1], words[random.below(i)]);
    }
    if (words == before) {
      const auto other = std::find_if(words.begin(), words.end(),
                                      [&](std::string_view word) { return word != words[0]; });
      if (other == words.end()) {
        refuse(text, "has no two different words to exchange; take another 'how'", context);
      }
      std::swap(words.front(), *other);
    }
    std::string out(words.front());
    for (std::size_t i = 1; i < words.size(); ++i) {
      out.append(" ").append(words[i]);
    }
    return out;
  }

  config::Corrupt config_;
};

}  // namespace

std::unique_ptr<Operator> make_corrupt(const config::Corrupt& config) {
  return std::make_unique<CorruptOperator>(config);
}

}  // namespace finescale
