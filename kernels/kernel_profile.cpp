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
  auto row = std::find_if(rows_.begin(), rows_.end(), [&](const Row& other) {
    return other.name == call.name && other.shape == call.shape;
  });
  if (row == rows_.end()) {
    row = rows_.insert(rows_.end(), Row{.name = call.name, .shape = call.shape});
  }
  ++row->calls;
  row->seconds += own;
  row->flops += call.flops;
  row->bytes += call.bytes;
}

}  // namespace finescale
