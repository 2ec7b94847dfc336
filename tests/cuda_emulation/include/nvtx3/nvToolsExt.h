// SPDX-License-Identifier: Apache-2.0
// Stands in for NVIDIA's header of the same name: what the project's sources use of it. The
// emulated machine keeps what was opened (runtime/ranges.h).
#pragma once

#include <cstdint>

// NOLINTBEGIN(readability-identifier-naming): NVTX's names
enum nvtxMessageType_t { NVTX_MESSAGE_UNKNOWN = 0, NVTX_MESSAGE_TYPE_ASCII = 1 };
enum nvtxPayloadType_t { NVTX_PAYLOAD_UNKNOWN = 0, NVTX_PAYLOAD_TYPE_INT64 = 2 };
union nvtxMessageValue_t {
  const char* ascii;
  const wchar_t* unicode;
};
struct nvtxEventAttributes_t {
  std::uint16_t version;
  std::uint16_t size;
  std::uint32_t category;
  std::int32_t colorType;
  std::uint32_t color;
  std::int32_t payloadType;
  std::int32_t reserved0;
  union {
    std::uint64_t ullValue;
    std::int64_t llValue;
    double dValue;
  } payload;
  std::int32_t messageType;
  nvtxMessageValue_t message;
};
// NOLINTEND(readability-identifier-naming)

constexpr std::uint16_t NVTX_VERSION = 3;
constexpr std::uint16_t NVTX_EVENT_ATTRIB_STRUCT_SIZE = sizeof(nvtxEventAttributes_t);

int nvtxRangePushEx(const nvtxEventAttributes_t* attributes);
int nvtxRangePop();
