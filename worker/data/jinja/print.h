// SPDX-License-Identifier: Apache-2.0
// Values as text: str(), repr() and json.dumps of Python.
#pragma once

#include <optional>
#include <string>

#include "worker/data/jinja/value.h"

namespace finescale::jinja {

[[nodiscard]] std::string to_text(const Value& value);  // what {{ value }} prints
[[nodiscard]] std::string repr(const Value& value);

struct JsonStyle {
  bool ensure_ascii = false;  // transformers' default
  bool sort_keys = false;
  std::optional<std::string> indent;  // one level
  std::optional<std::string> item_separator;
  std::optional<std::string> key_separator;
};
// Throws Fault for what JSON cannot say (undefined, functions).
[[nodiscard]] std::string to_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace finescale::jinja
