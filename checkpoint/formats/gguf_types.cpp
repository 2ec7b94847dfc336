// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/gguf_types.h"

#include <array>

#include "core/error.h"

namespace finescale {

namespace {

constexpr std::array<GgufTypeInfo, 11> kGgufTypes = {{
    {GgufType::kF32, "F32", 1, 4},
    {GgufType::kF16, "F16", 1, 2},
    {GgufType::kBf16, "BF16", 1, 2},
    {GgufType::kQ40, "Q4_0", 32, 18},
    {GgufType::kQ41, "Q4_1", 32, 20},
    {GgufType::kQ50, "Q5_0", 32, 22},
    {GgufType::kQ51, "Q5_1", 32, 24},
    {GgufType::kQ80, "Q8_0", 32, 34},
    {GgufType::kQ4K, "Q4_K", 256, 144},
    {GgufType::kQ5K, "Q5_K", 256, 176},
    {GgufType::kQ6K, "Q6_K", 256, 210},
}};

struct ValueTypeInfo {
  const char* name;
  std::uint64_t size;
};

// By code.
constexpr std::array<ValueTypeInfo, kGgufValueTypes> kValueTypes = {{{"UINT8", 1},
                                                                     {"INT8", 1},
                                                                     {"UINT16", 2},
                                                                     {"INT16", 2},
                                                                     {"UINT32", 4},
                                                                     {"INT32", 4},
                                                                     {"FLOAT32", 4},
                                                                     {"BOOL", 1},
                                                                     {"STRING", 0},
                                                                     {"ARRAY", 0},
                                                                     {"UINT64", 8},
                                                                     {"INT64", 8},
                                                                     {"FLOAT64", 8}}};

struct OtherType {
  std::uint32_t code;
  const char* name;
};

// Types that are not read, so that a message can name what a file has.
constexpr std::array<OtherType, 23> kOtherTypes = {
    {{9, "Q8_1"},     {10, "Q2_K"},  {11, "Q3_K"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"},
     {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"},
     {24, "I8"},      {25, "I16"},   {26, "I32"},    {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},
     {34, "TQ1_0"},   {35, "TQ2_0"}, {39, "MXFP4"},  {40, "NVFP4"}, {41, "Q1_0"}}};

}  // namespace

const GgufTypeInfo* find_gguf_type(std::uint32_t code) noexcept {
  for (const GgufTypeInfo& info : kGgufTypes) {
    if (static_cast<std::uint32_t>(info.type) == code) {
      return &info;
    }
  }
  return nullptr;
}

const GgufTypeInfo& gguf_type_info(GgufType type) {
  const GgufTypeInfo* info = find_gguf_type(static_cast<std::uint32_t>(type));
  FS_CHECK(info != nullptr, "every enumerator is in the table");
  return *info;
}

std::string gguf_type_name(std::uint32_t code) {
  if (const GgufTypeInfo* info = find_gguf_type(code)) {
    return info->name;
  }
  for (const OtherType& other : kOtherTypes) {
    if (other.code == code) {
      return other.name;
    }
  }
  return "number " + std::to_string(code);
}

std::string gguf_type_list() {
  std::string list;
  for (const GgufTypeInfo& info : kGgufTypes) {
    list += (list.empty() ? "" : ", ") + std::string(info.name);
  }
  return list;
}

const char* gguf_value_type_name(GgufValueType type) noexcept {
  return kValueTypes[static_cast<std::size_t>(type)].name;
}

std::uint64_t gguf_value_size(GgufValueType type) noexcept {
  return kValueTypes[static_cast<std::size_t>(type)].size;
}

}  // namespace finescale
