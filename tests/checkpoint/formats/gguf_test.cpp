// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/gguf.h"

#include <cstring>

#include <gtest/gtest.h>

#include "checkpoint/formats/gguf_decode.h"
#include "checkpoint/formats/gguf_encode.h"
#include "core/error.h"
#include "core/parallel.h"

namespace finescale {
namespace {

// Made by make_gguf_types.py with the reference implementation.
std::string fixture() {
  return std::string(FINESCALE_SOURCE_DIR) + "/tests/checkpoint/formats/gguf_types.gguf";
}

std::vector<float> values_of(const GgufFile& file, const std::string& name) {
  const FileTensorInfo* info = file.find(name);
  EXPECT_NE(info, nullptr) << name;
  std::vector<float> out(static_cast<std::size_t>(info->shape.num_elements()));
  file.read(*info, 0, info->shape.num_elements(),
            TensorView(out.data(), DType::kF32, {info->shape.num_elements()}));
  return out;
}

std::string bytes_of(const GgufFile& file, const std::string& name) {
  const GgufHeader& header = file.header();
  for (const GgufTensor& tensor : header.tensors) {
    if (tensor.name == name) {
      const MappedFile mapped(file.path());
      return std::string(mapped.bytes().substr(tensor.offset, tensor.size_bytes()));
    }
  }
  ADD_FAILURE() << name;
  return {};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * a.size()) == 0;
}

class GgufTypes : public testing::TestWithParam<const char*> {};

TEST_P(GgufTypes, DecodeToTheBitsOfTheReference) {
  const GgufFile file(fixture());
  EXPECT_TRUE(same_bits(values_of(file, std::string("q.") + GetParam()),
                        values_of(file, std::string("f32.") + GetParam())));
}

// Training threads flush tiny numbers: no weight may depend on it.
TEST_P(GgufTypes, DecodeTheSameWhereTinyNumbersAreFlushed) {
  const GgufFile file(fixture());
  std::vector<float> values;
  std::vector<float> expected;
  {
    set_num_threads(2);
    parallel_for(1, 1, [&](std::int64_t, std::int64_t) {
      values = values_of(file, std::string("q.") + GetParam());
      expected = values_of(file, std::string("f32.") + GetParam());
    });
  }
  EXPECT_TRUE(same_bits(values, expected));
}

TEST_P(GgufTypes, AnyRangeIsThatPartOfTheWhole) {
  const GgufFile file(fixture());
  const std::string name = std::string("q.") + GetParam();
  const std::vector<float> whole = values_of(file, name);
  const FileTensorInfo& info = *file.find(name);
  const auto total = static_cast<std::int64_t>(whole.size());
  for (std::int64_t begin = 0; begin <= total; begin += 37) {
    for (const std::int64_t length : {0, 1, 31, 32, 100, 256, 300, 600}) {
      const std::int64_t end = std::min(total, begin + length);
      std::vector<float> part(static_cast<std::size_t>(end - begin));
      std::vector<double> wide(part.size());
      file.read(info, begin, end, TensorView(part.data(), DType::kF32, {end - begin}));
      file.read(info, begin, end, TensorView(wide.data(), DType::kF64, {end - begin}));
      EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + begin));
      for (std::size_t i = 0; i < wide.size(); ++i) {
        ASSERT_EQ(wide[i], static_cast<double>(part[i]));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Every, GgufTypes,
                         testing::Values("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1",
                                         "Q8_0", "Q4_K", "Q5_K", "Q6_K"),
                         [](const auto& type) { return std::string(type.param); });

TEST(GgufEncode, ToTheBitsOfTheReference) {
  const GgufFile file(fixture());
  for (const GgufType type : {GgufType::kF16, GgufType::kQ80}) {
    const GgufTypeInfo& info = gguf_type_info(type);
    const std::vector<float> in = values_of(file, std::string("in.") + info.name);
    const std::string expected = bytes_of(file, std::string("out.") + info.name);
    for (const int threads : {0, 1}) {
      if (threads > 0) {
        set_num_threads(threads);  // this thread flushes tiny numbers from here on
      }
      std::string out(expected.size(), '\0');
      EXPECT_TRUE(encode_gguf_blocks(type, in.data(),
                                     static_cast<std::int64_t>(in.size()) / info.block_elements,
                                     reinterpret_cast<std::byte*>(out.data())));
      EXPECT_TRUE(out == expected) << info.name;
    }
  }
}

TEST(GgufEncode, EveryHalfSurvives) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if ((half & 0x7C00U) == 0x7C00U) {
      continue;
    }
    float value = 0;
    decode_gguf_blocks(GgufType::kF16, reinterpret_cast<const std::byte*>(&half), 1, &value);
    std::uint16_t back = 0;
    ASSERT_TRUE(encode_gguf_blocks(GgufType::kF16, &value, 1, reinterpret_cast<std::byte*>(&back)));
    ASSERT_EQ(back, half);
  }
}

TEST(GgufEncode, WhatATypeCannotHoldIsSaid) {
  std::vector<float> values(32, 1.0F);
  std::vector<std::byte> out(128);
  for (const GgufType type : {GgufType::kF32, GgufType::kF16, GgufType::kQ80}) {
    const std::int64_t blocks = 32 / gguf_type_info(type).block_elements;
    values[7] = 1.0F;
    EXPECT_TRUE(encode_gguf_blocks(type, values.data(), blocks, out.data()));
    for (const float bad :
         {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::quiet_NaN()}) {
      values[7] = bad;
      EXPECT_FALSE(encode_gguf_blocks(type, values.data(), blocks, out.data()));
    }
    values[7] = 1e8F;
    EXPECT_EQ(encode_gguf_blocks(type, values.data(), blocks, out.data()), type == GgufType::kF32);
  }
}

TEST(GgufFile, WhatIsNoModelIsRefused) {
  EXPECT_THROW(GgufFile(testing::TempDir() + "no_such_file.gguf"), Error);
  EXPECT_THROW(GgufFile(testing::TempDir()), Error);
  EXPECT_FALSE(is_gguf(testing::TempDir()));
  EXPECT_TRUE(is_gguf(fixture()));
}

}  // namespace
}  // namespace finescale
