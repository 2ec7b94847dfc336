// SPDX-License-Identifier: Apache-2.0
// Parquet, where the build has Apache Arrow.
#include "tests/fuzz/data_fuzz.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  finescale::read_data_file("data.parquet", data, size);
  return 0;
}
