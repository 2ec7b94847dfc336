// SPDX-License-Identifier: Apache-2.0
// The headers look for a profiler once, at the first range of the process.
#include "core/gpu_range.h"

#include <nvtx3/nvToolsExt.h>

namespace finescale {

void GpuRange::open(const char* name, std::int64_t index) noexcept {
  nvtxEventAttributes_t attributes{};
  attributes.version = NVTX_VERSION;
  attributes.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  attributes.messageType = NVTX_MESSAGE_TYPE_ASCII;
  attributes.message.ascii = name;
  if (index >= 0) {
    attributes.payloadType = NVTX_PAYLOAD_TYPE_INT64;
    attributes.payload.llValue = index;
  }
  (void)nvtxRangePushEx(&attributes);
}

void GpuRange::close() noexcept {
  (void)nvtxRangePop();
}

}  // namespace finescale
