// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/gguf_writer.h"

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "checkpoint/formats/gguf.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {
namespace {

class GgufWriter : public testing::Test {
 protected:
  std::string root_ = testing::TempDir() + "finescale_gguf_" + std::to_string(::getpid());
  std::string path_ = root_ + "/m.gguf";
  void SetUp() override { make_directories(root_); }
  void TearDown() override { std::filesystem::remove_all(root_); }

  static float value(std::int64_t i) { return std::sin(static_cast<float>(i) * 0.37F); }
  static GgufSource source(const std::string& name, Shape shape, GgufType type) {
    return {name, shape, type, [](std::int64_t begin, std::int64_t end, const TensorView& out) {
              for (std::int64_t i = begin; i < end; ++i) {
                out.as<float>()[i - begin] = value(i);
              }
            }};
  }
  [[nodiscard]] std::size_t files_left() const {
    const std::filesystem::directory_iterator all(root_);
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }
};

TEST_F(GgufWriter, WhatIsWrittenIsRead) {
  GgufKeys keys;
  keys.add_text("general.architecture", "llama");
  keys.add_count("n", 7);
  keys.add_number("x", 0.5);
  keys.add_flag("f", true);
  keys.add_texts("words", {"a", "", "Ġb"});
  keys.add_integers("i", {-1, 2});
  keys.add_numbers("s", {-1.5F});
  write_gguf(path_, keys,
             {source("z", {1030, 2080}, GgufType::kF32),  // more than one chunk
              source("b", {33, 64}, GgufType::kQ80), source("a", {7}, GgufType::kF16)});
  const GgufFile file(path_);
  EXPECT_EQ(files_left(), 1U);
  EXPECT_EQ(file.metadata().text("general.architecture"), "llama");
  EXPECT_EQ(file.metadata().integer("n"), 7);
  EXPECT_EQ(file.metadata().number("x"), 0.5);
  EXPECT_EQ(file.metadata().flag("f"), true);
  EXPECT_EQ(file.metadata().texts("words"), (std::vector<std::string_view>{"a", "", "Ġb"}));
  EXPECT_EQ(file.metadata().integers("i"), (std::vector<std::int64_t>{-1, 2}));
  EXPECT_EQ(file.metadata().numbers("s"), (std::vector<double>{-1.5}));
  ASSERT_EQ(file.tensors().size(), 3U);
  const std::vector<double> tolerance = {0x1p-11, 0.5 / 127 + 0x1p-11, 0};  // a, b, z
  for (std::size_t t = 0; t < 3; ++t) {
    const FileTensorInfo& info = file.tensors()[t];
    const std::int64_t count = info.shape.num_elements();
    std::vector<float> values(static_cast<std::size_t>(count));
    file.read(info, 0, count, TensorView(values.data(), DType::kF32, {count}));
    for (std::int64_t i = 0; i < count; ++i) {
      ASSERT_NEAR(values[static_cast<std::size_t>(i)], value(i), tolerance[t]) << info.name;
    }
  }
}

TEST_F(GgufWriter, AnInterruptedWriteLeavesTheOldFile) {
  write_file_atomically(path_, "old");
  GgufSource broken = source("w", {64}, GgufType::kF16);
  broken.fill = [](std::int64_t begin, std::int64_t end, const TensorView& out) {
    std::fill_n(out.as<float>(), end - begin, 1e9F);
  };
  try {
    write_gguf(path_, GgufKeys(), {broken});
    ADD_FAILURE() << "written";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_NE(error.message().find("tensor w has values that F16 cannot hold"), std::string::npos);
    EXPECT_EQ(error.where(), path_);
  }
  EXPECT_EQ(read_file(path_), "old");
  EXPECT_EQ(files_left(), 1U);
}

TEST_F(GgufWriter, APlaceThatIsNotThereIsNamed) {
  EXPECT_THROW(write_gguf(root_ + "/no/m.gguf", GgufKeys(), {}), Error);
}

}  // namespace
}  // namespace finescale
