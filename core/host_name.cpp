// SPDX-License-Identifier: Apache-2.0
#include "core/host_name.h"

#include <unistd.h>

#include <array>

namespace finescale {

std::string host_name() {
  std::array<char, 256> name{};  // POSIX: at most 255, and a longer one is cut without an end
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace finescale
