// SPDX-License-Identifier: Apache-2.0
// A whole template from its text.
#pragma once

#include <string_view>

#include "worker/data/jinja/statement.h"

namespace finescale::jinja {

struct ParsedTemplate {
  Block block;
  bool has_generation = false;  // {% generation %} occurs
};

// Throws SyntaxFault.
[[nodiscard]] ParsedTemplate parse_template(std::string_view source);

}  // namespace finescale::jinja
