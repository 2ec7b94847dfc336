// SPDX-License-Identifier: Apache-2.0
// Texts with columns in them: "Q: {prompt}". Braces that mean themselves are doubled.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace finescale {

struct TemplatePiece {
  std::string text;  // a literal, or the name of a column
  bool is_column = false;
};

// `fault`: what is wrong with it; left alone when nothing is.
[[nodiscard]] std::vector<TemplatePiece> parse_text_template(std::string_view text,
                                                             std::string* fault);

}  // namespace finescale
