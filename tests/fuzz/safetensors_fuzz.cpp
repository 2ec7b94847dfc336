// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file, and every tensor that it describes.
#include <vector>

#include "checkpoint/formats/safetensors.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/scratch.h"

using namespace finescale;  // NOLINT(google-build-using-namespace): one function

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ScratchDirectory directory;
  const std::string path = directory.write("m.safetensors", fuzz_text(data, size));
  read_or_refuse([&] {
    const auto file = open_safetensors(path);
    for (const FileTensorInfo& tensor : file->tensors()) {
      const std::int64_t count = tensor.shape.num_elements();
      std::vector<double> values(static_cast<std::size_t>(count));
      read_or_refuse(
          [&] { file->read(tensor, 0, count, TensorView(values.data(), DType::kF64, {count})); });
    }
  });
  return 0;
}
