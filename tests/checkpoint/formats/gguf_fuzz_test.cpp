// SPDX-License-Identifier: Apache-2.0
// Damaged files: whatever a byte becomes, the parser answers or refuses, reads nothing outside the
// file, and never asks for more memory than the file's size justifies.
#include <chrono>

#include <gtest/gtest.h>

#include "checkpoint/formats/gguf.h"
#include "core/error.h"
#include "tests/checkpoint/formats/allocation_watch.h"
#include "tests/checkpoint/formats/gguf_fixture.h"
#include "tests/checkpoint/formats/mutator.h"

namespace finescale {
namespace {

void read_everything(const std::string& bytes) {
  const GgufHeader header = parse_gguf(bytes, "m.gguf");
  std::vector<float> values;
  for (const GgufTensor& tensor : header.tensors) {
    values.resize(static_cast<std::size_t>(tensor.shape.num_elements()));
    read_gguf(bytes, tensor, 0, tensor.shape.num_elements(),
              TensorView(values.data(), DType::kF32, {tensor.shape.num_elements()}));
  }
  (void)header.metadata.texts("texts");
  (void)header.metadata.integers("integers");
}

TEST(GgufFuzz, DamagedFilesAreReadOrRefused) {
  const std::string sound = sound_gguf().bytes();
  Mutator mutator(1);
  std::int64_t tried = 0;
  std::int64_t accepted = 0;
  reset_largest_allocation();
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(fuzz_seconds());
  while (std::chrono::steady_clock::now() < end) {
    std::string bytes = sound;
    mutator.damage(bytes);
    bytes.shrink_to_fit();
    ++tried;
    try {
      read_everything(bytes);
      ++accepted;
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::kData) << error.what();
      ASSERT_FALSE(error.where().empty());
    }
  }
  RecordProperty("tried", std::to_string(tried));
  RecordProperty("accepted", std::to_string(accepted));
  EXPECT_GT(tried, 1000);
  // Views, names and messages: less than this many times the file (values are 4 bytes a weight,
  // blocks at least half a byte).
  EXPECT_LT(largest_allocation(), 64 * sound.size());
}

}  // namespace
}  // namespace finescale
