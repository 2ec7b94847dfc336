// SPDX-License-Identifier: Apache-2.0
#include "sharding/gradient_engine.h"

namespace finescale {

void gather_slices(const EngineParts& parts, int unit, void* range,
                   std::vector<std::size_t>& offsets) {
  if (parts.gather == nullptr || parts.gather->size() == 1) {
    return;
  }
  const std::int64_t begin = parts.plan.slice(unit, parts.first).begin;
  offsets.clear();
  for (int slice = parts.first; slice <= parts.last; ++slice) {
    const std::int64_t cut = slice == parts.last ? parts.plan.slice(unit, slice - 1).end
                                                 : parts.plan.slice(unit, slice).begin;
    offsets.push_back(static_cast<std::size_t>(cut - begin) * dtype_size(parts.dtype));
  }
  auto* whole = static_cast<std::byte*>(range);
  const auto me = static_cast<std::size_t>(parts.gather->rank());
  parts.gather->all_gather({whole + offsets[me], offsets[me + 1] - offsets[me]},
                           {whole, offsets.back()}, offsets);
}

}  // namespace finescale
