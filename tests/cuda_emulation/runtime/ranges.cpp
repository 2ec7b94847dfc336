// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/runtime/ranges.h"

#include <nvtx3/nvToolsExt.h>

#include <stdexcept>
#include <utility>

namespace {

struct Ranges {
  std::vector<finescale::cuda::emulation::Range> opened;
  int depth = 0;
  bool is_watched = false;
};

Ranges& ranges() {
  static thread_local Ranges own;
  return own;
}

}  // namespace

namespace finescale::cuda::emulation {

std::vector<Range> take_ranges() {
  if (ranges().depth != 0) {
    throw std::runtime_error(std::to_string(ranges().depth) + " ranges are not closed");
  }
  ranges().is_watched = true;
  return std::exchange(ranges().opened, {});
}

}  // namespace finescale::cuda::emulation

int nvtxRangePushEx(const nvtxEventAttributes_t* attributes) {
  auto& own = ranges();
  if (attributes->version != NVTX_VERSION || attributes->size != sizeof(*attributes) ||
      attributes->messageType != NVTX_MESSAGE_TYPE_ASCII) {
    throw std::runtime_error("a range that no profiler understands");
  }
  const bool has_index = attributes->payloadType == NVTX_PAYLOAD_TYPE_INT64;
  if (own.is_watched) {
    own.opened.push_back(
        {attributes->message.ascii, has_index ? attributes->payload.llValue : -1, own.depth});
  }
  return own.depth++;
}

int nvtxRangePop() {
  if (ranges().depth == 0) {
    throw std::runtime_error("a range is closed that is not open");
  }
  return --ranges().depth;
}
