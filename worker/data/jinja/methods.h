// SPDX-License-Identifier: Apache-2.0
// Methods of strings, lists and dicts. Those that would change a list or dict do not exist.
#pragma once

#include <string>
#include <string_view>

#include "worker/data/jinja/value.h"

namespace finescale::jinja {

using TextMethod = Value (*)(Context& context, const std::string& self, Arguments& arguments);
// Null: there is none of that name.
[[nodiscard]] TextMethod find_text_method(std::string_view name);

// The method bound to its object; undefined when the type has none of that name.
[[nodiscard]] Value find_method(const Value& object, const std::string& name);

}  // namespace finescale::jinja
