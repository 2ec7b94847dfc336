// SPDX-License-Identifier: Apache-2.0
#include "configs/text_template.h"

namespace finescale {

std::vector<TemplatePiece> parse_text_template(std::string_view text, std::string* fault) {
  std::vector<TemplatePiece> pieces;
  std::string literal;
  const auto end_literal = [&] {
    if (!literal.empty()) {
      pieces.push_back({std::move(literal), false});
      literal.clear();
    }
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if ((c == '{' || c == '}') && at + 1 < text.size() && text[at + 1] == c) {
      literal += c;
      ++at;
      continue;
    }
    if (c == '}') {
      *fault = "} without {, or write }}";
      return {};
    }
    if (c != '{') {
      literal += c;
      continue;
    }
    const std::size_t end = text.find_first_of("{}", at + 1);
    if (end == std::string_view::npos || text[end] == '{' || end == at + 1) {
      *fault = "{ without the name of a column and }, or write {{";
      return {};
    }
    end_literal();
    pieces.push_back({std::string(text.substr(at + 1, end - at - 1)), true});
    at = end;
  }
  end_literal();
  return pieces;
}

}  // namespace finescale
