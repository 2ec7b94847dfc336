// SPDX-License-Identifier: Apache-2.0
// model.safetensors.index.json beside two sound shards, as the reader of weights and the plan of a
// sweep take it.
#include "checkpoint/formats/safetensors.h"
#include "configs/model_directory.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/scratch.h"

using namespace finescale;  // NOLINT(google-build-using-namespace): one function

namespace {

void write_model(const ScratchDirectory& directory) {
  for (const char* name : {"a", "b"}) {
    const std::string header =
        std::string("{\"") + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    std::string bytes(8, '\0');
    bytes[0] = static_cast<char>(header.size());
    directory.write(std::string(name) + ".safetensors", bytes + header + std::string(4, '\0'));
  }
  directory.write("config.json", "{}");
  directory.write("tokenizer.json", "{}");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ScratchDirectory directory;
  static const bool once = (write_model(directory), true);
  (void)once;
  directory.write("model.safetensors.index.json", fuzz_text(data, size));
  read_or_refuse([] { (void)open_safetensors(directory.path()); });
  read_or_refuse([] { (void)find_model(directory.path()); });
  return 0;
}
