// SPDX-License-Identifier: Apache-2.0
#include "kernels/dispatch.h"

#include <string>

#include "core/error.h"

namespace finescale {

void no_kernel(const char* operation) {
  throw Error(ErrorKind::kDevice, std::string("no CUDA kernel for ") + operation + " in this build",
              {}, "use --set resources.device=cpu");
}

}  // namespace finescale
