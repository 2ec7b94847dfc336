// SPDX-License-Identifier: Apache-2.0
// Functions that every template finds: range, namespace, dict, raise_exception, strftime_now.
#pragma once

#include "worker/data/jinja/context.h"

namespace finescale::jinja {

void define_functions(Context& context);

}  // namespace finescale::jinja
