// SPDX-License-Identifier: Apache-2.0
// The filters of templates, found by name. Those of texts and of sequences have a file each.
#pragma once

#include <string>
#include <string_view>

#include "worker/data/jinja/context.h"

namespace finescale::jinja {

// The cost of looking through the value is paid by the caller. Throws Fault.
using Filter = Value (*)(Context& context, const Value& value, Arguments& arguments);

// Null: there is none of that name.
[[nodiscard]] Filter find_filter(std::string_view name);
[[nodiscard]] Filter find_text_filter(std::string_view name);
[[nodiscard]] Filter find_sequence_filter(std::string_view name);

}  // namespace finescale::jinja
