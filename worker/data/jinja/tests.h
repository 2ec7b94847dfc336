// SPDX-License-Identifier: Apache-2.0
// What `value is ...` may ask.
#pragma once

#include <string_view>

#include "worker/data/jinja/context.h"

namespace finescale::jinja {

using Test = bool (*)(Context& context, const Value& value, Arguments& arguments);

// Null: there is none of that name.
[[nodiscard]] Test find_test(std::string_view name);

}  // namespace finescale::jinja
