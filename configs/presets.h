// SPDX-License-Identifier: Apache-2.0
// Architectures by name, and paths of a sweep file made absolute.
#pragma once

#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"

namespace finescale {

// Names of configs/presets, sorted.
[[nodiscard]] std::vector<std::string> preset_names();

// Reads base.preset and merges base.architecture over it, into base.architecture. Does nothing
// without a preset. Throws kConfig at `where`, with the nearest name.
void resolve_preset(config::Base& base, const std::string& where);

// Paths are relative to the directory of the sweep file.
void resolve_paths(config::Sweep& sweep, const std::string& directory);

}  // namespace finescale
