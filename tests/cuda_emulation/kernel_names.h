// SPDX-License-Identifier: Apache-2.0
// What a launched kernel is called, by the symbol table of this program.
#pragma once

#include <string>

namespace finescale::cuda::emulation {

// "rmsnorm:backward_both<256, 4>": source file, name, template arguments without their namespaces.
// The file is left out when the kernel is not local to one. Throws std::runtime_error for what is
// no function of this program.
[[nodiscard]] std::string kernel_name(const void* function);

}  // namespace finescale::cuda::emulation
