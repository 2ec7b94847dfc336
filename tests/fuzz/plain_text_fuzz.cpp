// SPDX-License-Identifier: Apache-2.0
// Paragraphs, and the whole file as one text.
#include "tests/fuzz/data_fuzz.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  finescale::read_data_file("data.txt", data, size);
  return 0;
}
