// SPDX-License-Identifier: Apache-2.0
// Derived values: names of `let`, and the fields that are written $name or $(expression).
#pragma once

#include <string>

#include "configs/schema/sweep.pb.h"

namespace finescale {

// The value of a name of `let`, or of a field with a number by its path. Throws kConfig at `where`.
[[nodiscard]] double let_value(const config::Sweep& sweep, const std::string& name,
                               const std::string& where);

// Sets every derived field to what its expression is with the sweep's other values. Throws kConfig
// at `where`, or with an empty `where` at the field's path.
void apply_let(config::Sweep& sweep, const std::string& where);

}  // namespace finescale
