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

namespace {

// units: null: there is no backward pass.
UnitEvents events_of(const ModelLayout& layout, const BackwardUnits* units) {
  const ModelPart& part = layout.part();
  const bool trains_head = units != nullptr && units->head;
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
    if (units != nullptr && !(trains_head && head == final_unit)) {
      events.backward.push_back({final_unit, true, true});
    }
    if (units != nullptr) {
      events.backward.push_back({final_unit, true, false});
    }
  }
  if (units == nullptr) {
    return events;
  }
  for (int i = layout.num_layers() - 1; i >= units->first_layer; --i) {
    pass_through(events.backward, layout.layer_unit(i), true);
  }
  if (units->positions && layout.has_positions()) {
    pass_through(events.backward, layout.positions_unit(), true);
  }
  if (units->embedding && part.has_embedding) {
    const bool is_open = part.has_head && trains_head && head_unit(layout) == 0;
    if (!is_open) {
      events.backward.push_back({0, true, true});
    }
    events.backward.push_back({0, true, false});
  }
  return events;
}

}  // namespace

UnitEvents unit_events(const ModelLayout& layout, Trains trains, int first_layer) {
  BackwardUnits units;
  switch (trains) {
    case Trains::kNothing:
      return events_of(layout, nullptr);
    case Trains::kBase:
      units = {.head = true, .positions = true, .embedding = true};
      break;
    case Trains::kAdapters:
      break;
    case Trains::kUpper:
      units = {.first_layer = first_layer, .head = !layout.shape().tied};
      break;
  }
  return events_of(layout, &units);
}

UnitEvents unit_events(const ModelLayout& layout, const BackwardUnits& units) {
  return events_of(layout, &units);
}

}  // namespace finescale
