// SPDX-License-Identifier: Apache-2.0
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "worker/data/operators/operator.h"

namespace finescale {

namespace {

class JoinOperator final : public Operator {
 public:
  explicit JoinOperator(const config::Join& config) : config_(config) {}

  void apply(std::vector<Row>& rows, const OperatorContext& context) const override {
    FS_CHECK(context.other != nullptr, "join has no other dataset");
    std::unordered_map<std::string, std::vector<const Row*>> matches;
    for (const Row& row : *context.other) {
      matches[text_of(row, config_.on(), context.where)].push_back(&row);
    }
    std::vector<Row> joined;
    for (Row& row : rows) {
      const std::string value = text_of(row, config_.on(), context.where);
      const auto found = matches.find(value);
      if (found == matches.end()) {
        unmatched(std::move(row), value, context, joined);
        continue;
      }
      const std::size_t count = config_.many() ? found->second.size() : 1;
      for (std::size_t i = 0; i < count; ++i) {
        Row& both = joined.emplace_back(row);
        take(*found->second[i], context, both);
      }
    }
    rows = std::move(joined);
  }

 private:
  void unmatched(Row&& row, const std::string& value, const OperatorContext& context,
                 std::vector<Row>& joined) const {
    if (config_.others() == config::UNMATCHED_ERROR) {
      throw Error(ErrorKind::kData, "no example has " + config_.on() + " = " + value, context.where,
                  "set others: keep or drop");
    }
    if (config_.others() == config::UNMATCHED_KEEP) {
      joined.push_back(std::move(row));
    }
  }

  void take(const Row& from, const OperatorContext& context, Row& into) const {
    for (const std::string& column : config_.columns()) {
      (void)text_of(from, column, context.where);  // it must be there
      into[column] = from.at(column);
    }
    if (config_.columns().empty()) {
      for (const auto& item : from.items()) {
        if (!into.contains(item.key())) {
          into[item.key()] = item.value();
        }
      }
    }
  }

  config::Join config_;
};

}  // namespace

std::unique_ptr<Operator> make_join(const config::Join& config) {
  return std::make_unique<JoinOperator>(config);
}

}  // namespace finescale
