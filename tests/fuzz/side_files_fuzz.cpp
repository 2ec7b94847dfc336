// SPDX-License-Identifier: Apache-2.0
// The small JSON files of a model: tokenizer_config.json, generation_config.json and
// adapter_config.json. Every one of them is the same bytes.
#include "configs/model_directory.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/scratch.h"
#include "worker/data/chat_format.h"
#include "worker/import/peft_config.h"
#include "worker/import/side_files.h"

using namespace finescale;  // NOLINT(google-build-using-namespace): one function

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ScratchDirectory directory;
  const std::string_view text = fuzz_text(data, size);
  directory.write("generation_config.json", text);
  const std::string tokens = directory.write("tokenizer_config.json", text);
  const std::string adapter = directory.write("adapter_config.json", text);
  read_or_refuse([] { (void)find_model_end(directory.path()); });
  read_or_refuse([] { (void)read_side_files(directory.path()); });
  read_or_refuse([&] { (void)named_tokens(std::string(text), tokens); });
  read_or_refuse([&] { (void)load_chat_template(tokens); });
  read_or_refuse([&] { (void)read_peft_config(adapter).of_module("model.layers.0.q_proj"); });
  return 0;
}
