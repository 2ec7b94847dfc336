// SPDX-License-Identifier: Apache-2.0
// The order in which a micro-batch enters and leaves the units of a piece. Ranks that have no
// micro-batch in a round follow it, so that the collectives of each unit meet.
#pragma once

#include <vector>

#include "worker/model/model_layout.h"

namespace finescale {

struct UnitEvent {
  int unit = 0;
  bool backward = false;
  bool enters = true;
  friend bool operator==(const UnitEvent&, const UnitEvent&) = default;
};
struct UnitEvents {
  std::vector<UnitEvent> forward;
  std::vector<UnitEvent> backward;
};

enum class Trains { kNothing, kBase, kAdapters, kUpper };  // kAdapters: in every layer

// A copy of the embedding that is the head is entered when it trains, and left by whoever completes
// its gradient: see Transformer. kUpper: layers from first_layer on (of this piece), the final norm
// and a head of its own; the passes of the other pieces go through all of their layers.
[[nodiscard]] UnitEvents unit_events(const ModelLayout& layout, Trains trains, int first_layer = 0);

// Which units have a backward pass, where something trains: the final one always.
struct BackwardUnits {
  int first_layer = 0;  // of this piece; the number of its layers: none
  bool head = false;    // its weight trains
  bool positions = false;
  bool embedding = false;
};
[[nodiscard]] UnitEvents unit_events(const ModelLayout& layout, const BackwardUnits& units);

}  // namespace finescale
