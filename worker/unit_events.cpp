// SPDX-License-Identifier: Apache-2.0
#include "worker/unit_events.h"

namespace finescale {

namespace {

int head_unit(const ModelLayout& layout) {
  if (!layout.shape().tied) {
    return layout.final_unit();
  }
  return layout.head_is_copy() ? layout.final_unit() + 1 : 0;
}

void pass_through(std::vector<UnitEvent>& events, int unit, bool backward) {
  events.push_back({unit, backward, true});
  events.push_back({unit, backward, false});
}

}  // namespace

UnitEvents unit_events(const ModelLayout& layout, Trains trains, int first_layer) {
  const ModelPart& part = layout.part();
  const bool base = trains == Trains::kBase;
  const bool trains_head = base || (trains == Trains::kUpper && !layout.shape().tied);
  UnitEvents events;
  if (part.has_embedding) {
    pass_through(events.forward, 0, false);
  }
  if (layout.has_positions()) {
    pass_through(events.forward, layout.positions_unit(), false);
  }
  for (int i = 0; i < layout.num_layers(); ++i) {
    pass_through(events.forward, layout.layer_unit(i), false);
  }
  if (part.has_head) {
    const int final_unit = layout.final_unit();
    const int head = head_unit(layout);
    pass_through(events.forward, final_unit, false);
    if (trains_head) {  // the loss makes the head's gradient: its backward pass begins there
      events.forward.push_back({head, true, true});
    } else if (head != final_unit) {
      pass_through(events.forward, head, false);
    }
    if (trains != Trains::kNothing && !(trains_head && head == final_unit)) {
      events.backward.push_back({final_unit, true, true});
    }
    if (trains != Trains::kNothing) {
      events.backward.push_back({final_unit, true, false});
    }
  }
  if (trains == Trains::kNothing) {
    return events;
  }
  for (int i = layout.num_layers() - 1; i >= first_layer; --i) {
    pass_through(events.backward, layout.layer_unit(i), true);
  }
  if (base && layout.has_positions()) {
    pass_through(events.backward, layout.positions_unit(), true);
  }
  if (base && part.has_embedding) {
    const bool is_open = part.has_head && head_unit(layout) == 0;
    if (!is_open) {
      events.backward.push_back({0, true, true});
    }
    events.backward.push_back({0, true, false});
  }
  return events;
}

}  // namespace finescale
