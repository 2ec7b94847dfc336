// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/safetensors.h"

#include <bit>
#include <cmath>
#include <limits>

#include "checkpoint/formats/half.h"
#include "checkpoint/formats/safetensors_writer.h"
#include "core/error.h"
#include "tests/checkpoint/safetensors_fixture.h"

namespace finescale {
namespace {

std::vector<float> read_all(const TensorFile& file, const std::string& name) {
  const FileTensorInfo* info = file.find(name);
  EXPECT_NE(info, nullptr) << name;
  const std::int64_t count = info->shape.num_elements();
  std::vector<float> values(static_cast<std::size_t>(count));
  file.read(*info, 0, count, TensorView(values.data(), DType::kF32, Shape{count}));
  return values;
}

TensorToWrite tensor(const std::string& name, const Shape& shape, std::vector<double> values) {
  return {
      name, shape,
      [values = std::move(values)](std::int64_t begin, std::int64_t end, const TensorView& out) {
        for (std::int64_t i = begin; i < end; ++i) {
          const double value = values[static_cast<std::size_t>(i)];
          out.dtype == DType::kF64 ? out.as<double>()[i - begin] = value
                                   : out.as<float>()[i - begin] = static_cast<float>(value);
        }
      }};
}

using Safetensors = FilesTest;

TEST_F(Safetensors, ReadsEveryRealTypeAtAnyAddress) {
  const std::string data = "x" + raw_bytes<float>({1.5F, -2}) + raw_bytes<double>({0.1}) +
                           raw_bytes<std::uint16_t>({0x3f80, 0xc000, 0x0001}) +
                           raw_bytes<std::uint16_t>({0x3c00, 0x0001, 0xfc00});
  const std::string path =
      write("a.safetensors",
            safetensors_bytes(R"({"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                              R"("f":{"dtype":"F32","shape":[1,2],"data_offsets":[1,9]},)"
                              R"("d":{"dtype":"F64","shape":[],"data_offsets":[9,17]},)"
                              R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[17,23]},)"
                              R"("h":{"dtype":"F16","shape":[3],"data_offsets":[23,29]},)"
                              R"("e":{"dtype":"F32","shape":[0,7],"data_offsets":[29,29]},)"
                              R"("__metadata__":{"format":"pt"}}  )",
                              data));
  const auto file = open_safetensors(path);
  ASSERT_EQ(file->tensors().size(), 6U);
  EXPECT_EQ(file->tensors().front().name, "b");
  EXPECT_EQ(file->metadata().at("format"), "pt");
  EXPECT_EQ(read_all(*file, "f"), (std::vector<float>{1.5F, -2}));
  EXPECT_EQ(read_all(*file, "d"), std::vector<float>{0.1F});
  EXPECT_EQ(read_all(*file, "b"), (std::vector<float>{1, -2, std::bit_cast<float>(0x00010000U)}));
  EXPECT_EQ(read_all(*file, "h"),
            (std::vector<float>{1, 0x1p-24F, -std::numeric_limits<float>::infinity()}));
  EXPECT_TRUE(read_all(*file, "e").empty());
  double wide = 0;
  file->read(*file->find("d"), 0, 1, TensorView(&wide, DType::kF64, Shape{1}));
  EXPECT_EQ(wide, 0.1);
  EXPECT_EQ(file->find("g"), nullptr);
  EXPECT_THROW(read_all(*file, "u"), Error);
}

// What is wrong, and the words that the message must have.
struct Fault {
  const char* name;
  std::string header;
  std::size_t data;
  const char* message;
};

TEST_F(Safetensors, RefusesEveryFaultWithItsPlace) {
  const std::string one = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  const std::vector<Fault> faults = {
      {"not an object", "[]", 0, "does not begin with {"},
      {"empty header", "", 0, "does not begin with {"},
      {"not JSON", "{\"a\":", 0, "not valid JSON"},
      {"two documents", "{}{}", 0, "not valid JSON"},
      {"invalid UTF-8", "{\"\xff\":{}}", 0, "not valid JSON"},
      {"number for a tensor", R"({"a":1})", 0, "must be an object"},
      {"list for a tensor", R"({"a":[]})", 0, "must be an object"},
      {"null for a tensor", R"({"a":null})", 0, "must be an object"},
      {"unknown key", R"({"a":{"type":"F32"}})", 0, "unknown key"},
      {"key twice", R"({"a":{"dtype":"F32","dtype":"F32"}})", 0, "occurs twice"},
      {"tensor twice", "{" + one + "," + one + "}", 8, "two tensors have this name"},
      {"no dtype", R"({"a":{"shape":[2],"data_offsets":[0,8]}})", 8, "is missing"},
      {"no shape", R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", 8, "is missing"},
      {"no offsets", R"({"a":{"dtype":"F32","shape":[2]}})", 8, "is missing"},
      {"dtype is a number", R"({"a":{"dtype":32,"shape":[2],"data_offsets":[0,8]}})", 8, "a text"},
      {"unknown dtype", R"({"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", 8,
       "unknown dtype F31"},
      {"shape is a text", R"({"a":{"dtype":"F32","shape":"2","data_offsets":[0,8]}})", 8, "a list"},
      {"negative dimension", R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8,
       "a negative number"},
      {"fraction", R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8, "2.0"},
      {"nested shape", R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", 8, "a list"},
      {"dimension above 2^63",
       R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})", 8,
       "overflows"},
      {"product overflows",
       R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", 8,
       "overflows"},
      {"bytes overflow",
       R"({"a":{"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,8]}})", 8,
       "overflows"},
      {"bits are no bytes", R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", 1,
       "no whole bytes"},
      {"size differs", R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8,
       "dtype and shape need 12"},
      {"begin behind end", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8,
       "lies behind the end"},
      {"one offset", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}})", 8, "1 numbers"},
      {"first not at 0", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12, "a gap"},
      {"gap", "{" + one + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}})", 16,
       "a gap"},
      {"overlap", "{" + one + R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12,
       "an overlap"},
      {"data too short", "{" + one + "}", 7, "lies behind the file's data"},
      {"trailing bytes", "{" + one + "}", 9, "belong to none"},
      {"five dimensions", R"({"a":{"dtype":"F32","shape":[1,1,1,1,2],"data_offsets":[0,8]}})", 8,
       "5 dimensions"},
      {"metadata is a list", R"({"__metadata__":[]})", 0, "must be an object"},
      {"metadata holds a number", R"({"__metadata__":{"a":1}})", 0, "must be a text"},
      {"metadata twice", R"({"__metadata__":{},"__metadata__":{}})", 0, "occurs twice"},
  };
  for (const Fault& fault : faults) {
    const std::string path =
        write("f.safetensors", safetensors_bytes(fault.header, std::string(fault.data, '\0')));
    try {
      (void)open_safetensors(path);
      ADD_FAILURE() << fault.name << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData) << fault.name;
      EXPECT_NE(error.message().find(fault.message), std::string::npos)
          << fault.name << ": " << error.message();
      EXPECT_TRUE(error.where().starts_with(path + ": byte "))
          << fault.name << ": " << error.where();
      EXPECT_NE(error.where().find(", "), std::string::npos) << fault.name << ": " << error.where();
    }
  }
}

TEST_F(Safetensors, RefusesLengthsThatTheFileDoesNotHave) {
  const auto with_length = [](std::uint64_t length) {
    std::string bytes = safetensors_bytes("{}", "");
    std::memcpy(bytes.data(), &length, sizeof length);
    return bytes;
  };
  for (const std::uint64_t length :
       {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{100'000'001}, UINT64_MAX}) {
    EXPECT_THROW((void)open_safetensors(write("l.safetensors", with_length(length))), Error)
        << length;
  }
  EXPECT_THROW((void)open_safetensors(directory_ + "/none.safetensors"), Error);
  EXPECT_EQ(open_safetensors(write("l.safetensors", with_length(2)))->tensors().size(), 0U);
}

const char* const kSmallHeader =
    R"({"__metadata__":{"format":"pt"},"a.weight":{"dtype":"BF16","shape":[2,3],)"
    R"("data_offsets":[0,12]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}} )";

TEST_F(Safetensors, RefusesAFileCutAnywhere) {
  const std::string whole = safetensors_bytes(kSmallHeader, std::string(16, '\1'));
  EXPECT_EQ(open_safetensors(write("c.safetensors", whole))->tensors().size(), 2U);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW((void)open_safetensors(write("c.safetensors", whole.substr(0, size))), Error)
        << size;
  }
}

TEST_F(Safetensors, WritesWhatItReads) {
  const std::string path = directory_ + "/w.safetensors";
  const std::vector<double> values = {1, -2.5, 0x1.8p-20, 3, 65504, -0.0};
  for (const StoredType type :
       {StoredType::kF32, StoredType::kF64, StoredType::kBf16, StoredType::kF16}) {
    write_safetensors(path, {tensor("b", Shape{2, 3}, values), tensor("a", Shape{1}, {7})}, type);
    const auto file = open_safetensors(path);
    EXPECT_EQ(file->metadata().at("format"), "pt");
    EXPECT_EQ(read_all(*file, "a"), std::vector<float>{7});
    EXPECT_EQ(file->find("b")->shape, (Shape{2, 3}));
    const std::vector<float> read = read_all(*file, "b");
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(read[i], values[i], std::abs(values[i]) * 0.004) << file->find("b")->dtype;
    }
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
}

TEST_F(Safetensors, LeavesNothingWhenItCannotWrite) {
  const std::string path = directory_ + "/w.safetensors";
  EXPECT_THROW(write_safetensors(path, {tensor("a", Shape{1}, {1e6})}, StoredType::kF16), Error);
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(Safetensors, CutsAModelIntoShards) {
  std::vector<TensorToWrite> tensors;
  for (int i = 0; i < 5; ++i) {
    tensors.push_back(tensor("t" + std::to_string(i), Shape{4}, {1.0 * i, 2, 3, 4}));
  }
  write_safetensors_model(directory_, tensors, StoredType::kF32, 40);
  EXPECT_EQ(safetensors_files(directory_).size(), 3U);
  const auto model = open_safetensors(directory_);
  EXPECT_EQ(model->tensors().size(), 5U);
  EXPECT_EQ(read_all(*model, "t3").front(), 3);
  std::filesystem::remove(directory_ + "/model-00002-of-00003.safetensors");
  EXPECT_THROW((void)open_safetensors(directory_), Error);
}

TEST_F(Safetensors, RefusesAnIndexThatLeavesTheDirectory) {
  write("model.safetensors.index.json", R"({"weight_map":{"a":"../a.safetensors"}})");
  EXPECT_THROW((void)open_safetensors(directory_), Error);
  write("model.safetensors.index.json", R"({"weight_map":{"a":1}})");
  EXPECT_THROW((void)open_safetensors(directory_), Error);
  write("model.safetensors.index.json", "{");
  EXPECT_THROW((void)open_safetensors(directory_), Error);
}

TEST(Half, AgreesWithTheFormulaOnEveryValue) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const int exponent = static_cast<int>(bits >> 10) & 31;
    const double fraction = static_cast<double>(bits & 1023);
    double value =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    value = (bits & 0x8000) != 0 ? -value : value;
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(from_f16(half)), fraction != 0);
      EXPECT_EQ(std::isinf(from_f16(half)), fraction == 0);
    } else {
      ASSERT_EQ(from_f16(half), static_cast<float>(value)) << bits;
      ASSERT_EQ(to_f16(static_cast<float>(value)), half) << bits;
    }
    if (!std::isnan(from_bf16(half))) {
      ASSERT_EQ(to_bf16(from_bf16(half)), half);
    }
  }
}

TEST(Half, RoundsToTheNearestEven) {
  EXPECT_EQ(to_f16(1 + 0x1p-11F), 0x3c00);      // a tie goes down to even
  EXPECT_EQ(to_f16(1 + 3 * 0x1p-11F), 0x3c02);  // and up to even
  EXPECT_EQ(to_f16(0x1p-25F), 0);               // half of the smallest
  EXPECT_EQ(to_f16(0x1.8p-25F), 1);
  EXPECT_EQ(to_f16(65519.99F), 0x7bff);
  EXPECT_EQ(to_f16(65520), 0x7c00);
  EXPECT_EQ(to_bf16(1 + 0x1p-8F), 0x3f80);
  EXPECT_EQ(to_bf16(1 + 3 * 0x1p-8F), 0x3f82);
  EXPECT_TRUE(std::isnan(from_bf16(to_bf16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace finescale
