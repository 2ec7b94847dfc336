// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "worker/data/operators/operator.h"

namespace finescale {

namespace {

// What rows are compared by; numbers are below texts.
struct RankValue {
  bool is_text = false;
  double number = 0;
  std::string text;

  [[nodiscard]] bool operator<(const RankValue& other) const {
    return is_text != other.is_text ? !is_text
           : is_text                ? text < other.text
                                    : number < other.number;
  }
};

class RankOperator final : public Operator {
 public:
  explicit RankOperator(const config::Rank& config)
      : column_(config.by()), is_descending_(config.order() == config::RANK_ORDER_DESCENDING) {
    if (column_.starts_with("bytes(") && column_.ends_with(")")) {
      column_ = column_.substr(6, column_.size() - 7);
      by_bytes_ = true;
    }
  }

  void apply(std::vector<Row>& rows, const OperatorContext& context) const override {
    std::vector<RankValue> values;
    for (const Row& row : rows) {
      values.push_back(value_of(row, context));
    }
    std::vector<std::size_t> places(rows.size());
    std::iota(places.begin(), places.end(), std::size_t{0});
    std::stable_sort(places.begin(), places.end(), [&](std::size_t a, std::size_t b) {
      return is_descending_ ? values[b] < values[a] : values[a] < values[b];
    });
    keep_rows(rows, places);
  }

 private:
  [[nodiscard]] RankValue value_of(const Row& row, const OperatorContext& context) const {
    std::string text = text_of(row, column_, context.where);
    const Row& value = row.at(column_);
    if (by_bytes_) {
      return {false, static_cast<double>(text.size()), ""};
    }
    if (value.is_number()) {
      return {false, value.get<double>(), ""};
    }
    return {true, 0, std::move(text)};
  }

  std::string column_;
  bool by_bytes_ = false;
  bool is_descending_;
};

}  // namespace

std::unique_ptr<Operator> make_rank(const config::Rank& config) {
  return std::make_unique<RankOperator>(config);
}

}  // namespace finescale
