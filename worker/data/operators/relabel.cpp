// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "core/error.h"
#include "worker/data/operators/operator.h"

namespace finescale {

namespace {

class RelabelOperator final : public Operator {
 public:
  explicit RelabelOperator(const config::Relabel& config) : config_(config) {
    for (const config::LabelPair& pair : config.values()) {
      becomes_[pair.value()] = pair.becomes();
    }
  }

  void apply(std::vector<Row>& rows, const OperatorContext& context) const override {
    std::erase_if(rows, [&](Row& row) {
      const std::string value = text_of(row, config_.column(), context.where);
      if (const auto found = becomes_.find(value); found != becomes_.end()) {
        row[config_.column()] = found->second;
        return false;
      }
      if (config_.others() == config::UNMATCHED_ERROR) {
        throw Error(ErrorKind::kData, "no new value for " + value, context.where,
                    "add it to values, or set others: keep or drop");
      }
      return config_.others() == config::UNMATCHED_DROP;
    });
  }

 private:
  config::Relabel config_;
  std::map<std::string, std::string> becomes_;
};

}  // namespace

std::unique_ptr<Operator> make_relabel(const config::Relabel& config) {
  return std::make_unique<RelabelOperator>(config);
}

}  // namespace finescale
