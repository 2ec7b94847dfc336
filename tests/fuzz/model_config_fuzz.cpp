// SPDX-License-Identifier: Apache-2.0
// config.json: the architecture of a model, and the list of its tensors.
#include <nlohmann/json.hpp>

#include "configs/decoder.h"
#include "configs/model_directory.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/scratch.h"

using namespace finescale;  // NOLINT(google-build-using-namespace): one function

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ScratchDirectory directory;
  const std::string path = directory.write("config.json", fuzz_text(data, size));
  read_or_refuse([&] {
    const config::ModelConfig config = read_model_config(path);
    (void)logical_tensors(decoder_shape(config));
    (void)model_config_to_json(config);
  });
  read_or_refuse([] { (void)find_model_end(directory.path()); });
  return 0;
}
