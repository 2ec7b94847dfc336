// SPDX-License-Identifier: Apache-2.0
// Arithmetic on named numbers: round(budget * share). Grammar: docs/arms.md.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace finescale {

// What is wrong with an expression.
struct ExpressionFault {
  std::string what;
};

// sum = product {("+" | "-") product}; product = power {("*" | "/") power}; power = unary ["^"
// power]; unary = ["-"] atom; atom = number | name | function "(" sum {"," sum} ")" | "(" sum ")".
// Functions: round floor ceil abs sqrt log exp min max. Throws ExpressionFault, and what value_of
// throws.
[[nodiscard]] double evaluate(std::string_view text,
                              const std::function<double(const std::string& name)>& value_of);

}  // namespace finescale
