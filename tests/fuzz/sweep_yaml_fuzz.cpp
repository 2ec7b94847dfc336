// SPDX-License-Identifier: Apache-2.0
// A sweep file: YAML to the schema, its rules, the values of its axes.
#include "configs/parse.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/scratch.h"

using namespace finescale;  // NOLINT(google-build-using-namespace): one function

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ScratchDirectory directory;
  const std::string path = directory.write("sweep.yaml", fuzz_text(data, size));
  read_or_refuse([&] {
    const config::Sweep sweep = load_sweep(path, {});
    for (const config::Axis& axis : sweep.axes()) {
      for (const std::string& value : axis_values(sweep, axis)) {
        read_or_refuse([&] { (void)apply_values(sweep, {{axis.path(), value}}, path); });
      }
    }
  });
  return 0;
}
