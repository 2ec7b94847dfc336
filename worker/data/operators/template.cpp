// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <utility>

#include "worker/data/operators/operator.h"

namespace finescale {

namespace {

class TemplateOperator final : public Operator {
 public:
  explicit TemplateOperator(const config::Template& config) {
    const auto add = [this](bool is_given, const char* column, const std::string& text) {
      if (is_given) {
        texts_.emplace_back(column, RowText(text));
      }
    };
    add(config.has_prompt(), "prompt", config.prompt());
    add(config.has_response(), "response", config.response());
    add(config.has_text(), "text", config.text());
    add(config.has_chosen(), "chosen", config.chosen());
    add(config.has_rejected(), "rejected", config.rejected());
  }

  // All are filled from the row as it was.
  void apply(std::vector<Row>& rows, const OperatorContext& context) const override {
    for (Row& row : rows) {
      std::vector<std::string> filled;
      for (const auto& [column, text] : texts_) {
        filled.push_back(text.filled(row, context.where));
      }
      for (std::size_t i = 0; i < texts_.size(); ++i) {
        forget_other_forms(texts_[i].first, row);
        if (texts_[i].first == "prompt") {
          set_prompt(row, std::move(filled[i]));
        } else {
          row[texts_[i].first] = std::move(filled[i]);
        }
      }
    }
  }

 private:
  // A row has one form: what is written anew says which.
  static void forget_other_forms(const std::string& column, Row& row) {
    if (column == "response" || column == "text") {
      row.erase(column == "text" ? "response" : "text");
      for (const char* other : {"messages", "chosen", "rejected"}) {
        row.erase(other);
      }
    }
  }

  std::vector<std::pair<std::string, RowText>> texts_;
};

}  // namespace

std::unique_ptr<Operator> make_template(const config::Template& config) {
  return std::make_unique<TemplateOperator>(config);
}

}  // namespace finescale
