// SPDX-License-Identifier: Apache-2.0
// Owner of a file descriptor.
#pragma once

#include <unistd.h>

#include "core/unique_handle.h"

namespace finescale {

struct DescriptorTraits {
  using Handle = int;
  static Handle invalid() noexcept { return -1; }
  static void destroy(Handle handle) noexcept { ::close(handle); }
};
using Descriptor = UniqueHandle<DescriptorTraits>;

}  // namespace finescale
