// SPDX-License-Identifier: Apache-2.0
// add 12.5 3.75 -> 16.25; compare 1/2 2/3 -> <; max 2e3 1.5e3 -> 2e3; digit 2 507 -> 0; count
// 7 77.1
// -> 2. Numbers are computed exactly and written shortest.
#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "configs/nearest_name.h"
#include "core/error.h"
#include "worker/data/tasks/task.h"
#include "worker/data/tasks/words.h"

namespace finescale {

namespace {

const std::vector<std::string>& digit_operations() {
  static const std::vector<std::string> kNames = {"add", "compare", "max", "digit", "count"};
  return kNames;
}

std::int64_t power_of_ten(int exponent) {
  std::int64_t power = 1;
  for (int i = 0; i < exponent; ++i) {
    power *= 10;
  }
  return power;
}

// Eight digits behind the point, ten before it: 64 bits hold sums of what is drawn, and what a
// model may answer.
constexpr int kScale = 8;
constexpr int kMaxWholeDigits = 10;
constexpr int kMaxExponent = 5;

// A fraction, or a decimal number in units of 10^-kScale.
struct Number {
  config::NumberFormat format = config::NUMBER_FORMAT_INTEGER;
  std::int64_t numerator = 0;
  std::int64_t denominator = 1;
};

bool is_less(const Number& a, const Number& b) {
  return a.format == config::NUMBER_FORMAT_FRACTION
             ? a.numerator * b.denominator < b.numerator * a.denominator
             : a.numerator < b.numerator;
}

// "12.5" times 10^exponent, in units of 10^-kScale.
std::optional<std::int64_t> parse_decimal(std::string_view text, int exponent) {
  const std::size_t point = text.find('.');
  const auto whole = whole_number(text.substr(0, point));
  if (!whole || *whole >= power_of_ten(exponent > 0 ? 1 : kMaxWholeDigits)) {
    return std::nullopt;
  }
  const int scale = kScale + exponent;
  if (point == std::string_view::npos) {
    return *whole * power_of_ten(scale);
  }
  const std::string_view digits = text.substr(point + 1);
  // Behind a 1 zeros in front count.
  const auto part = whole_number("1" + std::string(digits));
  const auto places = static_cast<int>(digits.size());
  if (!part || digits.empty() || places > scale || digits.back() == '0') {
    return std::nullopt;
  }
  return *whole * power_of_ten(scale) +
         (*part - power_of_ten(places)) * power_of_ten(scale - places);
}

std::optional<Number> parse_number(std::string_view text) {
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    const auto above = whole_number(text.substr(0, slash));
    const auto below = whole_number(text.substr(slash + 1));
    if (!above || !below || *below == 0) {
      return std::nullopt;
    }
    return Number{config::NUMBER_FORMAT_FRACTION, *above, *below};
  }
  Number number;
  std::int64_t exponent = 0;
  const std::size_t e = text.find('e');
  if (e != std::string_view::npos) {
    exponent = whole_number(text.substr(e + 1)).value_or(kMaxExponent + 2);
    if (exponent > kMaxExponent + 1) {
      return std::nullopt;
    }
    number.format = config::NUMBER_FORMAT_SCIENTIFIC;
  } else if (text.find('.') != std::string_view::npos) {
    number.format = config::NUMBER_FORMAT_FLOAT;
  }
  const auto value = parse_decimal(text.substr(0, e), static_cast<int>(exponent));
  if (!value) {
    return std::nullopt;
  }
  number.numerator = *value;
  return number;
}

std::string decimal_text(std::int64_t value, int scale) {
  std::string text = std::to_string(value / power_of_ten(scale));
  std::string part = std::to_string(power_of_ten(scale) + value % power_of_ten(scale)).substr(1);
  part.erase(part.find_last_not_of('0') + 1);
  return part.empty() ? text : text + "." + part;
}

std::string text_of(const Number& number) {
  if (number.format == config::NUMBER_FORMAT_FRACTION) {
    const std::int64_t common = std::gcd(number.numerator, number.denominator);
    const std::int64_t below = number.denominator / common;
    const std::string above = std::to_string(number.numerator / common);
    return below == 1 ? above : above + "/" + std::to_string(below);
  }
  if (number.format == config::NUMBER_FORMAT_SCIENTIFIC && number.numerator > 0) {
    int exponent = 0;
    while (number.numerator / power_of_ten(kScale + exponent) >= 10) {
      ++exponent;
    }
    return decimal_text(number.numerator, kScale + exponent) + "e" + std::to_string(exponent);
  }
  return decimal_text(number.numerator, kScale);
}

Number sum(const Number& a, const Number& b) {
  if (a.format == config::NUMBER_FORMAT_FRACTION) {
    return {a.format, a.numerator * b.denominator + b.numerator * a.denominator,
            a.denominator * b.denominator};
  }
  return {a.format, a.numerator + b.numerator, 1};
}

class NupaTask final : public Task {
 public:
  explicit NupaTask(const config::Nupa& config)
      : digits_(config.digits()),
        operations_(config.operations().begin(), config.operations().end()) {
    for (const std::string& name : operations_) {
      if (std::find(digit_operations().begin(), digit_operations().end(), name) ==
          digit_operations().end()) {
        throw Error(
            ErrorKind::kConfig,
            "task.nupa.operations: unknown " + name + did_you_mean(name, digit_operations()), {},
            "valid: " + joined(digit_operations()));
      }
    }
    operations_ = operations_.empty() ? digit_operations() : operations_;
    for (int i = 0; i < config.formats_size(); ++i) {
      formats_.push_back(config.formats(i));
    }
    if (formats_.empty()) {
      formats_ = {config::NUMBER_FORMAT_INTEGER, config::NUMBER_FORMAT_FLOAT,
                  config::NUMBER_FORMAT_FRACTION, config::NUMBER_FORMAT_SCIENTIFIC};
    }
    const auto about_digits = [](const std::string& name) {
      return name == "digit" || name == "count";
    };
    if (std::all_of(operations_.begin(), operations_.end(), about_digits) &&
        formats_ == std::vector{config::NUMBER_FORMAT_FRACTION}) {
      throw Error(ErrorKind::kConfig, "task.nupa: digit and count take no fractions");
    }
  }

  [[nodiscard]] Problem draw(Random& random) const override {
    std::string operation;
    config::NumberFormat format{};
    do {
      operation = operations_[random.below(operations_.size())];
      format = formats_[random.below(formats_.size())];
    } while (format == config::NUMBER_FORMAT_FRACTION &&
             (operation == "digit" || operation == "count"));
    std::string prompt = operation + " ";
    const std::string number = draw_number(format, random);
    if (operation == "digit") {
      const auto digits = static_cast<std::uint64_t>(
          std::count_if(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; }));
      prompt += std::to_string(1 + random.below(digits)) + " " + number;
    } else if (operation == "count") {
      prompt += std::to_string(random.below(10)) + " " + number;
    } else {
      prompt += number + " " + draw_number(format, random);
    }
    return {prompt, *solve(prompt), prompt};
  }

  [[nodiscard]] Verdict verify(std::string_view prompt, std::string_view answer) const override {
    const std::optional<std::string> truth = solve(prompt);
    const bool is_sign = answer == "<" || answer == ">" || answer == "=";
    if (!truth || (prompt.starts_with("compare") ? !is_sign : !parse_number(answer))) {
      return Verdict::kFormatError;
    }
    return answer == *truth ? Verdict::kRight : Verdict::kAnswerError;
  }

  [[nodiscard]] std::string wrong_response(const Problem& problem, Random& random) const override {
    const std::string& right = problem.response;
    if (problem.prompt.starts_with("compare")) {
      return right == "<" ? ">" : right == ">" ? "<" : random.below(2) == 0 ? "<" : ">";
    }
    // Another digit somewhere, never a zero; an exponent stays.
    std::string text = right;
    const std::size_t end = std::min(text.find('e'), text.size());
    std::size_t at = random.below(end);
    at = text[at] >= '0' && text[at] <= '9' ? at : end - 1;
    text[at] = static_cast<char>('1' + (text[at] - '0' + random.below(8)) % 9);
    return text == right ? std::to_string(1) + text : text;
  }

 private:
  // Up to `digits` digits, none in front a zero, and the last one none where `ends_in_digit`.
  static std::string draw_digits(std::uint64_t digits, bool ends_in_digit, Random& random) {
    const std::uint64_t count = 1 + random.below(digits);
    std::string text;
    for (std::uint64_t i = 0; i < count; ++i) {
      const bool is_edge = (i == 0 && count > 1) || (i + 1 == count && ends_in_digit);
      text += static_cast<char>(is_edge ? '1' + random.below(9) : '0' + random.below(10));
    }
    return text;
  }

  [[nodiscard]] std::string draw_number(config::NumberFormat format, Random& random) const {
    const auto digits = static_cast<std::uint64_t>(digits_);
    switch (format) {
      case config::NUMBER_FORMAT_FLOAT: {
        const std::uint64_t before = std::max<std::uint64_t>(1, digits / 2);
        return draw_digits(before, false, random) + "." +
               draw_digits(std::max<std::uint64_t>(1, digits - before), true, random);
      }
      case config::NUMBER_FORMAT_FRACTION: {
        const std::uint64_t half = std::max<std::uint64_t>(1, digits / 2);
        return draw_digits(half, true, random) + "/" + draw_digits(half, true, random);
      }
      case config::NUMBER_FORMAT_SCIENTIFIC: {
        std::string text(1, static_cast<char>('1' + random.below(9)));
        if (digits > 1) {
          text += "." + draw_digits(digits - 1, true, random);
        }
        return text + "e" + std::to_string(random.below(kMaxExponent + 1));
      }
      case config::NUMBER_FORMAT_INTEGER:
        break;
    }
    return draw_digits(digits, false, random);
  }

  [[nodiscard]] static std::optional<std::string> solve(std::string_view prompt) {
    const std::vector<std::string_view> words = split_at(prompt, ' ');
    if (words.size() != 3) {
      return std::nullopt;
    }
    const auto a = parse_number(words[1]);
    const auto b = parse_number(words[2]);
    if (!a || !b) {
      return std::nullopt;
    }
    if (words[0] == "add") {
      return text_of(sum(*a, *b));
    }
    if (words[0] == "compare") {
      return is_less(*a, *b) ? "<" : is_less(*b, *a) ? ">" : "=";
    }
    if (words[0] == "max") {  // as it is written; of equal ones the first
      return std::string(is_less(*a, *b) ? words[2] : words[1]);
    }
    std::string digits;
    std::copy_if(words[2].begin(), words[2].end(), std::back_inserter(digits),
                 [](char c) { return c >= '0' && c <= '9'; });
    if (words[0] == "count") {
      return std::to_string(std::count(digits.begin(), digits.end(), words[1].front()));
    }
    const auto place = whole_number(words[1]);
    if (words[0] != "digit" || !place || *place < 1 ||
        *place > static_cast<std::int64_t>(digits.size())) {
      return std::nullopt;
    }
    return std::string(1, digits[static_cast<std::size_t>(*place - 1)]);
  }

  int digits_;
  std::vector<std::string> operations_;
  std::vector<config::NumberFormat> formats_;
};

}  // namespace

std::unique_ptr<Task> make_nupa(const config::Nupa& config) {
  return std::make_unique<NupaTask>(config);
}

}  // namespace finescale
