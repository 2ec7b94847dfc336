// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernel_profile.h"

#include <algorithm>

#include "core/error.h"

namespace finescale {

void KernelProfile::begin() {
  open_.push_back({Clock::now()});
}

void KernelProfile::end(const KernelCall& call) {
  FS_CHECK(!open_.empty(), "a kernel ends that did not begin");
  const double seconds = std::chrono::duration<double>(Clock::now() - open_.back().begin).count();
  const double own = seconds - open_.back().inside;
  open_.pop_back();
  if (!open_.empty()) {
    open_.back().inside += seconds;
  }
  std::vector<std::size_t>& places = of_shape_[call.shape];
  auto place = std::find_if(places.begin(), places.end(),
                            [&](std::size_t i) { return rows_[i].name == call.name; });
  if (place == places.end()) {
    place = places.insert(places.end(), rows_.size());
    rows_.push_back(Row{.name = call.name, .shape = call.shape});
  }
  Row& row = rows_[*place];
  ++row.calls;
  row.seconds += own;
  row.flops += call.flops;
  row.bytes += call.bytes;
}

}  // namespace finescale
