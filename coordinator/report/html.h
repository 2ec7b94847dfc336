// SPDX-License-Identifier: Apache-2.0
// Text of the page: escaping, numbers as people read them, tables. Functions whose result is named
// `html` may be put into the page as they are; everything else goes through html_escape.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "coordinator/scaling/study.h"

namespace finescale {

// Safe in text and in quoted attributes of HTML and XML; bytes that XML forbids or that are not
// UTF-8 become U+FFFD (a model may answer with anything).
[[nodiscard]] std::string html_escape(std::string_view text);

[[nodiscard]] std::string typeset_count(double value);                    // 12,800
[[nodiscard]] std::string typeset_estimate(double count);                 // 12,847 -> 12,800
[[nodiscard]] std::string typeset_number(double value, int significant);  // 0.5327, 3.2 x 10^12
[[nodiscard]] std::string typeset_fixed(double value, int decimals);      // 1.806
[[nodiscard]] std::string typeset_percent(double fraction);               // 3.1%
[[nodiscard]] std::string typeset_duration(double seconds);               // 2 h 13 min
[[nodiscard]] std::string typeset_interval(const Interval& interval, int significant);
// Of an estimate: three digits of each end.
[[nodiscard]] std::string typeset_count_interval(const Interval& interval);
[[nodiscard]] std::string joined_names(const std::vector<std::string>& names);  // a, b and c
// "1 trial", "3 trials".
[[nodiscard]] std::string typeset_plural(double count, const std::string& noun);
// At most `length` characters, the rest replaced by an ellipsis; never cuts inside a character.
[[nodiscard]] std::string shortened_text(const std::string& text, std::size_t length);
// Lines of at most `length` characters, broken between words where that is possible; what is left
// after `most_lines` of them is cut as by shortened_text.
[[nodiscard]] std::vector<std::string> wrapped_text(const std::string& text, std::size_t length,
                                                    std::size_t most_lines);
// "loss" -> "Loss".
[[nodiscard]] std::string capitalised(std::string text);
// Relative error of a loss from a root mean square deviation of its logarithm.
[[nodiscard]] double relative_error(double rmsd_of_log);

// A table with a caption and a scope on each header, scrollable when it is wide. Cells are HTML.
class HtmlTable {
 public:
  explicit HtmlTable(std::string caption_html) : caption_(std::move(caption_html)) {}
  HtmlTable& column(const std::string& title_html, bool is_number = false);
  // The first cell becomes the row's header.
  HtmlTable& row(std::vector<std::string> cells_html, const std::string& css_class = {});
  [[nodiscard]] bool empty() const noexcept { return rows_.empty(); }
  [[nodiscard]] std::string html() const;

 private:
  struct Row {
    std::vector<std::string> cells;
    std::string css_class;
  };
  std::string caption_;
  std::vector<std::string> titles_;
  std::vector<bool> is_number_;
  std::vector<Row> rows_;
};

}  // namespace finescale
