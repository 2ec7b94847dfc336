// SPDX-License-Identifier: Apache-2.0
// A number as a GGUF file holds it: little-endian, as this machine has it.
#pragma once

#include <string>

namespace finescale {

template <class T>
void append_number(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace finescale
