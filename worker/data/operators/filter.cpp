// SPDX-License-Identifier: Apache-2.0
// Conditions on one column.
#include <algorithm>
#include <optional>
#include <set>

#include "core/error.h"
#include "worker/data/operators/operator.h"
#include "worker/data/operators/pattern.h"

namespace finescale {

namespace {

class FilterOperator final : public Operator {
 public:
  explicit FilterOperator(const config::Filter& config)
      : config_(config), wanted_(config.is().begin(), config.is().end()) {}

  void apply(std::vector<Row>& rows, const OperatorContext& context) const override {
    std::optional<Pattern> pattern;
    if (config_.has_matches()) {
      pattern.emplace(config_.matches(), context.where);
    }
    std::erase_if(rows, [&](const Row& row) {
      return holds(row, pattern ? &*pattern : nullptr, context) == config_.others();
    });
  }

 private:
  [[nodiscard]] bool holds(const Row& row, const Pattern* pattern,
                           const OperatorContext& context) const {
    const std::string text = text_of(row, config_.column(), context.where);
    const Row& value = row.at(config_.column());
    if (!wanted_.empty() && !is_wanted(value, text)) {
      return false;
    }
    if (pattern != nullptr && !pattern->occurs_in(text)) {
      return false;
    }
    const double size = value.is_number()  ? value.get<double>()
                        : value.is_array() ? static_cast<double>(value.size())
                                           : static_cast<double>(text.size());
    return (!config_.has_min() || size >= config_.min()) &&
           (!config_.has_max() || size <= config_.max());
  }

  [[nodiscard]] bool is_wanted(const Row& value, const std::string& text) const {
    if (!value.is_array()) {
      return wanted_.contains(text);
    }
    return std::any_of(value.begin(), value.end(), [this](const Row& element) {
      return wanted_.contains(element.is_string() ? element.get<std::string>() : element.dump());
    });
  }

  config::Filter config_;
  std::set<std::string> wanted_;
};

}  // namespace

std::unique_ptr<Operator> make_filter(const config::Filter& config) {
  return std::make_unique<FilterOperator>(config);
}

}  // namespace finescale
