// SPDX-License-Identifier: Apache-2.0
// '%s of %d' % values, as Python formats: s r d i f with width and precision.
#pragma once

#include <string>
#include <string_view>

#include "worker/data/jinja/value.h"

namespace finescale::jinja {

// A tuple gives several values. Throws Fault.
[[nodiscard]] std::string format_percent(std::string_view format, const Value& values);

}  // namespace finescale::jinja
