// SPDX-License-Identifier: Apache-2.0
// A row of a dataset before it is an example: columns by name, as files hold them.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "configs/text_template.h"

namespace finescale {

using Row = nlohmann::ordered_json;  // an object

// A column as text: texts as they are, other values as JSON. Throws kData at `where` when the row
// has no such column.
[[nodiscard]] std::string text_of(const Row& row, const std::string& column,
                                  const std::string& where);
// Throws kData too when it is no number.
[[nodiscard]] double number_of(const Row& row, const std::string& column, const std::string& where);

// What a task's verifier reads is kept when the prompt is written anew.
void set_prompt(Row& row, std::string prompt);
// The prompt that the task drew.
[[nodiscard]] std::string problem_of(const Row& row, const std::string& where);

// A text with columns in it, read once and filled for each row.
class RowText {
 public:
  explicit RowText(const std::string& text);
  [[nodiscard]] std::string filled(const Row& row, const std::string& where) const;

 private:
  std::vector<TemplatePiece> pieces_;
};

}  // namespace finescale
