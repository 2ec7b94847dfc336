// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/gguf_header.h"

#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/checkpoint/formats/gguf_fixture.h"

namespace finescale {
namespace {

TEST(GgufHeader, EveryTypeOfValueIsRead) {
  const std::string bytes = sound_gguf().bytes();
  const GgufHeader header = parse_gguf(bytes, "m.gguf");
  const GgufMetadata& m = header.metadata;
  EXPECT_EQ(m.size(), 18U);
  EXPECT_EQ(m.integer("u8"), 200);
  EXPECT_EQ(m.integer("i8"), -5);
  EXPECT_EQ(m.integer("u16"), 60000);
  EXPECT_EQ(m.integer("i16"), -30000);
  EXPECT_EQ(m.integer("u32"), 4000000000);
  EXPECT_EQ(m.integer("i32"), -7);
  EXPECT_EQ(m.integer("u64"), std::int64_t{1} << 40);
  EXPECT_EQ(m.integer("i64"), -9);
  EXPECT_EQ(m.number("f32"), 1.5);
  EXPECT_EQ(m.number("f64"), 0.1);
  EXPECT_EQ(m.number("i32"), -7.0);
  EXPECT_EQ(m.flag("yes"), true);
  EXPECT_EQ(m.text("text"), "Ġword");
  EXPECT_EQ(m.numbers("numbers"), (std::vector<double>{1, -2}));
  EXPECT_EQ(m.integers("integers"), (std::vector<std::int64_t>{1, -1, 7}));
  EXPECT_EQ(m.texts("texts"), (std::vector<std::string_view>{"a", ""}));
  EXPECT_TRUE(m.has("nested"));
  EXPECT_TRUE(m.is_array("nested"));
  EXPECT_EQ(m.integer("absent"), std::nullopt);
  EXPECT_TRUE(m.texts("absent").empty());
}

TEST(GgufHeader, TensorsAreSortedAndTheirShapesTurnedRound) {
  for (const std::uint32_t version : {2U, 3U}) {
    RawGguf file = sound_gguf();
    file.version = version;
    const std::string bytes = file.bytes();
    const GgufHeader header = parse_gguf(bytes, "m.gguf");
    ASSERT_EQ(header.tensors.size(), 3U);
    EXPECT_EQ(header.version, version);
    EXPECT_EQ(header.tensors[0].name, "last");
    EXPECT_EQ(header.tensors[0].shape, (Shape{1, 1, 2, 2}));
    EXPECT_EQ(header.tensors[1].name, "matrix");
    EXPECT_EQ(header.tensors[1].shape, (Shape{3, 64}));
    EXPECT_EQ(header.tensors[1].offset, header.data_begin);
    EXPECT_EQ(header.tensors[1].size_bytes(), 6U * 34);
    EXPECT_EQ(header.tensors[2].offset, header.data_begin + 224);
    EXPECT_EQ(header.data_begin % 32, 0U);
  }
}

TEST(GgufHeader, AnAlignmentOfItsOwnIsHonoured) {
  RawGguf file = sound_gguf();
  file.keys.back().value = raw(std::uint32_t{8});
  file.alignment = 8;
  file.tensors[1].offset = 208;  // 204 rounded up to 8
  const std::string bytes = file.bytes();
  EXPECT_EQ(parse_gguf(bytes, "m.gguf").data_begin, bytes.size() - file.data.size());
}

struct Fault {
  const char* name;
  std::function<void(RawGguf&)> make;
  const char* message;  // part of it
  const char* field;    // part of the place
};

std::uint64_t huge() {
  return std::numeric_limits<std::uint64_t>::max();
}

std::vector<Fault> key_faults() {
  const auto set = [](std::uint32_t type, std::string value) {
    return [=](RawGguf& f) { f.keys[0] = {"k", type, value}; };
  };
  return {
      {"magic", [](RawGguf& f) { f.magic = "GGML"; }, "not a GGUF file", "byte 0"},
      {"version 1", [](RawGguf& f) { f.version = 1; }, "version 1 is not supported", "byte 4"},
      {"version 4", [](RawGguf& f) { f.version = 4; }, "version 4 is not supported", "byte 4"},
      {"big-endian", [](RawGguf& f) { f.version = 3U << 24; }, "big-endian", "byte 4"},
      {"too many tensors", [](RawGguf& f) { f.num_tensors = huge(); }, "entries need more bytes",
       "byte 8: tensor count"},
      {"too many keys", [](RawGguf& f) { f.num_keys = huge() / 2; }, "entries need more bytes",
       "byte 16: metadata count"},
      {"key length",
       [](RawGguf& f) {
         f.keys.clear();
         f.num_keys = 1;
         f.tensors[0].name.clear();
         f.num_tensors = 0;
         f.tensors.resize(1);
       },
       "a key must be 1 to 65535", "byte 24: metadata key 0"},
      {"key text", [](RawGguf& f) { f.keys[0].key = "a\xff"; }, "printable", "metadata key 0"},
      {"key twice", [](RawGguf& f) { f.keys[1].key = "u8"; }, "there twice", "u8"},
      {"value type", set(13, ""), "value type 13 does not exist", "byte 33: k"},
      {"bool", set(7, "\2"), "a BOOL is 2", ": k"},
      {"string length", set(8, raw(huge())), "string needs 18446744073709551615 bytes", ": k"},
      {"item type", set(9, raw(99U) + raw(huge())), "value type 99", ": k"},
      {"array length", set(9, raw(6U) + raw(huge())), "values of type FLOAT32 need more", ": k"},
      {"array of strings", set(9, raw(8U) + raw(std::uint64_t{100000})),
       "100000 values of type STRING", ": k"},
      {"string in array", set(9, raw(8U) + raw(std::uint64_t{2}) + raw_text("a") + raw(huge() - 7)),
       "string needs", ": k"},
      {"bool in array", set(9, raw(7U) + raw(std::uint64_t{2}) + "\1\3"), "a BOOL is 3", ": k"},
      {"array of arrays", set(9, raw(9U) + raw(std::uint64_t{5000})), "values of type ARRAY",
       ": k"},
      {"depth",
       set(9, raw(9U) + raw(std::uint64_t{1}) + raw(9U) + raw(std::uint64_t{1}) + raw(9U) +
                  raw(std::uint64_t{1}) + raw(9U) + raw(std::uint64_t{1}) + raw(9U) +
                  raw(std::uint64_t{1}) + raw(0U) + raw(std::uint64_t{1}) + "x"),
       "nested more than 4 deep", ": k"},
  };
}

std::vector<Fault> tensor_faults() {
  return {
      {"alignment 0", [](RawGguf& f) { f.keys.back().value = raw(0U); }, "alignment is 0",
       "general.alignment"},
      {"alignment 24", [](RawGguf& f) { f.keys.back().value = raw(24U); }, "power of two",
       "general.alignment"},
      {"alignment type",
       [](RawGguf& f) {
         f.keys.back() = {"general.alignment", 6, raw(32.0F)};
       },
       "the value is of type FLOAT32, must be an integer", "general.alignment"},
      {"name", [](RawGguf& f) { f.tensors[0].name = std::string(300, 'a'); }, "1 to 255 bytes",
       ": tensor 0"},
      {"name text", [](RawGguf& f) { f.tensors[1].name = "a\nb"; }, "printable", ": tensor 1"},
      {"name twice", [](RawGguf& f) { f.tensors[2].name = "matrix"; }, "there twice",
       "tensor matrix"},
      {"no dimension", [](RawGguf& f) { f.tensors[1].dims.clear(); }, "0 dimensions",
       "tensor vector"},
      {"five dimensions",
       [](RawGguf& f) {
         f.tensors[1].dims = {1, 1, 1, 1, 1};
       },
       "5 dimensions", "tensor vector"},
      {"empty dimension", [](RawGguf& f) { f.tensors[1].dims = {0}; }, "dimension 0 is 0",
       "tensor vector"},
      {"product",
       [](RawGguf& f) {
         f.tensors[1].dims = {1ULL << 33, 1ULL << 33};
       },
       "too many elements", "tensor vector"},
      {"size", [](RawGguf& f) { f.tensors[1].dims = {1ULL << 40}; },
       "more bytes than the whole file", "tensor vector"},
      {"type", [](RawGguf& f) { f.tensors[1].type = 10; }, "type Q2_K is not supported",
       "tensor vector"},
      {"type number", [](RawGguf& f) { f.tensors[1].type = 4; }, "type number 4 is not supported",
       "tensor vector"},
      {"part of a block",
       [](RawGguf& f) {
         f.tensors[0].dims = {48, 4};
       },
       "rows of 48 are not whole blocks of 32 as Q8_0 needs", "tensor matrix"},
      {"misaligned", [](RawGguf& f) { f.tensors[1].offset = 228; },
       "not a multiple of the alignment", "tensor vector"},
      {"beyond the end", [](RawGguf& f) { f.tensors[2].offset = 288; }, "beyond the end",
       "tensor last"},
      {"offset overflow", [](RawGguf& f) { f.tensors[2].offset = huge() - 31; }, "beyond the end",
       "tensor last"},
      {"one byte short", [](RawGguf& f) { f.data.pop_back(); }, "beyond the end", "tensor last"},
      {"overlap", [](RawGguf& f) { f.tensors[1].offset = 192; }, "overlap those of matrix",
       "tensor vector"},
      {"same place", [](RawGguf& f) { f.tensors[2].offset = 224; }, "overlap those of", "tensor "},
  };
}

void expect_refused(const Fault& fault) {
  SCOPED_TRACE(fault.name);
  RawGguf file = sound_gguf();
  fault.make(file);
  const std::string bytes = file.bytes();
  try {
    (void)parse_gguf(bytes, "m.gguf");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_NE(error.message().find(fault.message), std::string::npos) << error.message();
    EXPECT_NE(error.where().find(fault.field), std::string::npos) << error.where();
    EXPECT_EQ(error.where().find("m.gguf"), 0U) << error.where();
  }
}

TEST(GgufHeader, EveryRuleIsCheckedAndNamesItsPlace) {
  for (const Fault& fault : key_faults()) {
    expect_refused(fault);
  }
  for (const Fault& fault : tensor_faults()) {
    expect_refused(fault);
  }
}

TEST(GgufHeader, EveryTruncationIsRefused) {
  const std::string whole = sound_gguf().bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);  // its own allocation: a sanitizer sees its end
    EXPECT_THROW((void)parse_gguf(cut, "m.gguf"), Error) << size;
  }
  EXPECT_NO_THROW((void)parse_gguf(whole, "m.gguf"));
}

TEST(GgufHeader, AValueOfTheWrongTypeNamesItsKey) {
  const std::string bytes = sound_gguf().bytes();
  const GgufHeader header = parse_gguf(bytes, "m.gguf");
  const GgufMetadata& m = header.metadata;
  const std::vector<std::function<void()>> wrong = {
      [&] { (void)m.integer("text"); },  [&] { (void)m.integer("f32"); },
      [&] { (void)m.integer("yes"); },   [&] { (void)m.integer("integers"); },
      [&] { (void)m.number("text"); },   [&] { (void)m.flag("u8"); },
      [&] { (void)m.text("u8"); },       [&] { (void)m.texts("text"); },
      [&] { (void)m.texts("numbers"); }, [&] { (void)m.integers("texts"); },
      [&] { (void)m.numbers("flags"); }, [&] { (void)m.integers("nested"); }};
  for (const auto& read : wrong) {
    try {
      read();
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      EXPECT_NE(error.where().find("m.gguf: byte "), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace finescale
