// SPDX-License-Identifier: Apache-2.0
#include "worker/data/operators/row.h"

#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

constexpr const char* kProblem = "problem";

const Row& column_of(const Row& row, const std::string& column, const std::string& where) {
  const auto found = row.find(column);
  if (found == row.end()) {
    std::string names;
    for (const auto& item : row.items()) {
      names += (names.empty() ? "" : ", ") + item.key();
    }
    throw Error(ErrorKind::kData, "an example has no column " + column, where,
                "its columns are " + names);
  }
  return *found;
}

}  // namespace

std::string text_of(const Row& row, const std::string& column, const std::string& where) {
  const Row& value = column_of(row, column, where);
  return value.is_string()
             ? value.get<std::string>()
             : value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

double number_of(const Row& row, const std::string& column, const std::string& where) {
  const Row& value = column_of(row, column, where);
  if (!value.is_number()) {
    throw Error(
        ErrorKind::kData,
        "column " + column + " of an example is " + value.type_name() + ", must be a number",
        where);
  }
  return value.get<double>();
}

void set_prompt(Row& row, std::string prompt) {
  if (const auto before = row.find("prompt"); before != row.end() && !row.contains(kProblem)) {
    Row kept = *before;
    row[kProblem] = std::move(kept);
  }
  row["prompt"] = std::move(prompt);
}

std::string problem_of(const Row& row, const std::string& where) {
  return text_of(row, row.contains(kProblem) ? kProblem : "prompt", where);
}

RowText::RowText(const std::string& text) {
  std::string fault;
  pieces_ = parse_text_template(text, &fault);
  FS_CHECK(fault.empty(), "a text with columns was not checked: " + fault);
}

std::string RowText::filled(const Row& row, const std::string& where) const {
  std::string out;
  for (const TemplatePiece& piece : pieces_) {
    out += piece.is_column ? text_of(row, piece.text, where) : piece.text;
  }
  return out;
}

}  // namespace finescale
