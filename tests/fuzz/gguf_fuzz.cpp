// SPDX-License-Identifier: Apache-2.0
// A GGUF file: its tensors, and what it says of its model, its tokenizer and its chats.
#include <algorithm>
#include <vector>

#include "checkpoint/formats/gguf.h"
#include "configs/decoder.h"
#include "configs/gguf_summary.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/scratch.h"
#include "worker/data/gguf_side_files.h"
#include "worker/data/gguf_tokenizer.h"
#include "worker/data/tokenizer.h"
#include "worker/import/gguf_model.h"

using namespace finescale;  // NOLINT(google-build-using-namespace): a few functions

namespace {

void read_tensors(const GgufFile& file) {
  std::vector<float> values;
  for (const FileTensorInfo& tensor : file.tensors()) {
    const std::int64_t count = tensor.shape.num_elements();
    values.resize(static_cast<std::size_t>(count));
    file.read(tensor, 0, count, TensorView(values.data(), DType::kF32, {count}));
  }
}

// One row of every weight.
void read_model(const std::string& path) {
  const auto source = open_gguf_source(path);
  for (const LogicalShape& tensor : logical_tensors(decoder_shape(source->config()))) {
    const std::int64_t width = std::max<std::int64_t>(1, tensor.columns);
    std::vector<float> first(static_cast<std::size_t>(width));
    const LocalPart row = tensor.columns == 0 ? LocalPart{Shape{0}, Shape{1}}
                                              : LocalPart{Shape{0, 0}, Shape{1, width}};
    source->read(tensor.name, row, TensorView(first.data(), DType::kF32, {width}));
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ScratchDirectory directory;
  const std::string path = directory.write("m.gguf", fuzz_text(data, size));
  read_or_refuse([&] {
    const auto file = open_gguf(path);
    read_tensors(*file);
    read_or_refuse([&] { (void)read_gguf_summary(path); });
    read_or_refuse([&] { (void)gguf_side_files(file->metadata()); });
    read_or_refuse([&] {
      const Tokenizer tokenizer =
          Tokenizer::from_json(tokenizer_json_from_gguf(file->metadata()), path);
      use_or_refuse([&] { (void)tokenizer.encode("a b\n"); });
    });
    read_or_refuse([&] { read_model(path); });
  });
  return 0;
}
