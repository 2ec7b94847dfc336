// SPDX-License-Identifier: Apache-2.0
#include "worker/data/operators/operator.h"

namespace finescale {

namespace {

class TopOperator final : public Operator {
 public:
  explicit TopOperator(const config::Top& config) : config_(config) {}

  void apply(std::vector<Row>& rows, const OperatorContext& context) const override {
    rows.resize(wanted_rows(config_.has_examples(), config_.examples(), config_.fraction(),
                            rows.size(), context));
  }

 private:
  config::Top config_;
};

}  // namespace

std::unique_ptr<Operator> make_top(const config::Top& config) {
  return std::make_unique<TopOperator>(config);
}

}  // namespace finescale
