// SPDX-License-Identifier: Apache-2.0
// Damaged models: whatever a byte becomes, a model and its tokenizer are read or refused.
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "configs/decoder.h"
#include "core/error.h"
#include "core/files.h"
#include "tests/checkpoint/formats/mutator.h"
#include "worker/data/gguf_side_files.h"
#include "worker/data/gguf_tokenizer.h"
#include "worker/import/gguf_model.h"

namespace finescale {
namespace {

class GgufImportFuzz : public testing::TestWithParam<const char*> {
 protected:
  std::string path_ =
      testing::TempDir() + "finescale_gguf_fuzz_" + std::to_string(::getpid()) + ".gguf";
  void TearDown() override { std::filesystem::remove(path_); }
};

void read_model(const std::string& path) {
  const auto source = open_gguf_source(path);
  for (const LogicalShape& tensor : logical_tensors(decoder_shape(source->config()))) {
    std::vector<float> first(static_cast<std::size_t>(std::max<std::int64_t>(1, tensor.columns)));
    const auto width = static_cast<std::int64_t>(first.size());
    const LocalPart row = tensor.columns == 0 ? LocalPart{Shape{0}, Shape{1}}
                                              : LocalPart{Shape{0, 0}, Shape{1, width}};
    source->read(tensor.name, row, TensorView(first.data(), DType::kF32, {width}));
  }
}

TEST_P(GgufImportFuzz, DamagedModelsAreReadOrRefused) {
  const std::string sound =
      read_file(std::string(FINESCALE_SOURCE_DIR) + "/tests/import/" + GetParam());
  Mutator mutator(3);
  std::int64_t tried = 0;
  std::int64_t accepted = 0;
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::duration<double>(fuzz_seconds() / 2);
  while (std::chrono::steady_clock::now() < end) {
    std::string bytes = sound;
    // Most of a file is weights; what can go wrong is in front of them.
    std::string head = bytes.substr(0, 2000);
    mutator.damage(head);
    bytes.replace(0, 2000, head);
    std::ofstream(path_, std::ios::binary) << bytes;
    ++tried;
    try {
      const auto file = open_gguf(path_);
      if (file->metadata().has("tokenizer.ggml.model")) {
        (void)tokenizer_json_from_gguf(file->metadata());
        (void)gguf_side_files(file->metadata());
      }
      read_model(path_);
      ++accepted;
    } catch (const Error& error) {
      ASSERT_EQ(exit_code(error.kind()), 2) << error.what();
    }
  }
  RecordProperty("tried", std::to_string(tried));
  RecordProperty("accepted", std::to_string(accepted));
  EXPECT_GT(tried, 100);
}

INSTANTIATE_TEST_SUITE_P(Files, GgufImportFuzz,
                         testing::Values("gguf_llama.gguf", "gguf_sentencepiece.gguf"),
                         [](const auto& file) {
                           const std::string name = file.param;
                           return name.substr(0, name.find('.'));
                         });

}  // namespace
}  // namespace finescale
