// SPDX-License-Identifier: Apache-2.0
#include <cctype>
#include <unordered_set>

#include "worker/data/operators/operator.h"

namespace finescale {

namespace {

constexpr const char* kContent[] = {"prompt", "response", "text", "messages", "chosen", "rejected"};

// Small letters, one blank between words, none at the ends.
std::string loosened(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isspace(byte) == 0) {
      out += static_cast<char>(std::tolower(byte));
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  if (out.ends_with(' ')) {
    out.pop_back();
  }
  return out;
}

class DedupeOperator final : public Operator {
 public:
  explicit DedupeOperator(const config::Dedupe& config) : config_(config) {}

  void apply(std::vector<Row>& rows, const OperatorContext& context) const override {
    std::unordered_set<std::string> seen;
    std::erase_if(rows, [&](const Row& row) { return !seen.insert(name_of(row, context)).second; });
  }

 private:
  [[nodiscard]] std::string name_of(const Row& row, const OperatorContext& context) const {
    std::string name;
    const auto add = [&](const std::string& column) {
      const std::string text = text_of(row, column, context.where);
      // Lengths in front: no two rows are joined to the same name by what stands in them.
      const std::string part = config_.loose() ? loosened(text) : text;
      name.append(std::to_string(part.size())).append(":").append(part);
    };
    if (config_.columns().empty()) {
      for (const char* column : kContent) {
        if (row.contains(column)) {
          name += column;
          add(column);
        }
      }
      return name;
    }
    for (const std::string& column : config_.columns()) {
      add(column);
    }
    return name;
  }

  config::Dedupe config_;
};

}  // namespace

std::unique_ptr<Operator> make_dedupe(const config::Dedupe& config) {
  return std::make_unique<DedupeOperator>(config);
}

}  // namespace finescale
