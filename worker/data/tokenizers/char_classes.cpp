// SPDX-License-Identifier: Apache-2.0
// Classes and lower case of characters: ICU's tables, and what Unicode has added since.
#include <unicode/uchar.h>
#include <unicode/uset.h>

#include <vector>

#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

struct Range {
  char32_t first;
  char32_t last;
  std::uint8_t classes;
};

// Characters that Unicode 15.1 and 16 assigned: ICU 72 does not know them, Oniguruma and Rust do.
constexpr Range kNewer[] = {
    {0x897, 0x897, kMark | kWord},       {0x1B4E, 0x1B4F, kPunctuation},
    {0x1B7F, 0x1B7F, kPunctuation},      {0x1C89, 0x1C8A, kLetter | kWord},
    {0xA7CB, 0xA7CD, kLetter | kWord},   {0xA7DA, 0xA7DC, kLetter | kWord},
    {0x105C0, 0x105F3, kLetter | kWord}, {0x10D40, 0x10D49, kNumber | kWord},
    {0x10D4A, 0x10D65, kLetter | kWord}, {0x10D69, 0x10D6D, kMark | kWord},
    {0x10D6E, 0x10D6E, kPunctuation},    {0x10D6F, 0x10D85, kLetter | kWord},
    {0x10EC2, 0x10EC4, kLetter | kWord}, {0x10EFC, 0x10EFC, kMark | kWord},
    {0x11380, 0x11389, kLetter | kWord}, {0x1138B, 0x1138B, kLetter | kWord},
    {0x1138E, 0x1138E, kLetter | kWord}, {0x11390, 0x113B5, kLetter | kWord},
    {0x113B7, 0x113B7, kLetter | kWord}, {0x113B8, 0x113C0, kMark | kWord},
    {0x113C2, 0x113C2, kMark | kWord},   {0x113C5, 0x113C5, kMark | kWord},
    {0x113C7, 0x113CA, kMark | kWord},   {0x113CC, 0x113D0, kMark | kWord},
    {0x113D1, 0x113D1, kLetter | kWord}, {0x113D2, 0x113D2, kMark | kWord},
    {0x113D3, 0x113D3, kLetter | kWord}, {0x113D4, 0x113D5, kPunctuation},
    {0x113D7, 0x113D8, kPunctuation},    {0x113E1, 0x113E2, kMark | kWord},
    {0x116D0, 0x116E3, kNumber | kWord}, {0x11BC0, 0x11BE0, kLetter | kWord},
    {0x11BE1, 0x11BE1, kPunctuation},    {0x11BF0, 0x11BF9, kNumber | kWord},
    {0x11F5A, 0x11F5A, kMark | kWord},   {0x13460, 0x143FA, kLetter | kWord},
    {0x16100, 0x1611D, kLetter | kWord}, {0x1611E, 0x1612F, kMark | kWord},
    {0x16130, 0x16139, kNumber | kWord}, {0x16D40, 0x16D6C, kLetter | kWord},
    {0x16D6D, 0x16D6F, kPunctuation},    {0x16D70, 0x16D79, kNumber | kWord},
    {0x18CFF, 0x18CFF, kLetter | kWord}, {0x1CCF0, 0x1CCF9, kNumber | kWord},
    {0x1E5D0, 0x1E5ED, kLetter | kWord}, {0x1E5EE, 0x1E5EF, kMark | kWord},
    {0x1E5F0, 0x1E5F0, kLetter | kWord}, {0x1E5F1, 0x1E5FA, kNumber | kWord},
    {0x1E5FF, 0x1E5FF, kPunctuation},    {0x2EBF0, 0x2EE5D, kLetter | kWord},
};

constexpr std::size_t kNumCodePoints = 0x110000;

void add_classes(std::vector<std::uint8_t>& table, UChar32 first, UChar32 last, unsigned classes) {
  for (UChar32 code = first; code <= last; ++code) {
    table[static_cast<std::size_t>(code)] |= static_cast<std::uint8_t>(classes);
  }
}

UBool add_category(const void* context, UChar32 start, UChar32 limit, UCharCategory category) {
  auto& table = *static_cast<std::vector<std::uint8_t>*>(const_cast<void*>(context));
  const std::uint32_t mask = U_MASK(category);
  const unsigned classes =
      ((mask & U_GC_L_MASK) != 0 ? unsigned{kLetter} : 0U) |
      ((mask & U_GC_N_MASK) != 0 ? unsigned{kNumber} : 0U) |
      ((mask & U_GC_M_MASK) != 0 ? unsigned{kMark} : 0U) |
      ((mask & U_GC_P_MASK) != 0 ? unsigned{kPunctuation} : 0U) |
      ((mask & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0 ? unsigned{kWord} : 0U);
  if (classes != 0) {
    add_classes(table, start, limit - 1, classes);
  }
  return 1;
}

void add_property(std::vector<std::uint8_t>& table, UProperty property, unsigned classes) {
  UErrorCode status = U_ZERO_ERROR;
  const USet* set = u_getBinaryPropertySet(property, &status);
  for (std::int32_t i = 0; U_SUCCESS(status) && i < uset_getItemCount(set); ++i) {
    UChar32 first = 0;
    UChar32 last = -1;
    uset_getItem(set, i, &first, &last, nullptr, 0, &status);
    add_classes(table, first, last, classes);
  }
}

std::vector<std::uint8_t> make_table() {
  std::vector<std::uint8_t> table(kNumCodePoints);
  u_enumCharTypes(&add_category, &table);
  add_property(table, UCHAR_WHITE_SPACE, kSpace);
  add_property(table, UCHAR_ALPHABETIC, kWord);
  add_property(table, UCHAR_JOIN_CONTROL, kWord);
  for (const Range& range : kNewer) {
    add_classes(table, static_cast<UChar32>(range.first), static_cast<UChar32>(range.last),
                range.classes);
  }
  return table;
}

}  // namespace

const std::uint8_t* char_class_table() {
  static const std::vector<std::uint8_t> table = make_table();
  return table.data();
}

int unicode_age(char32_t code) {
  UVersionInfo version;
  u_charAge(static_cast<UChar32>(code), version);
  return version[0] * 10 + version[1];
}

std::uint32_t category_mask(char32_t code) {
  const std::uint32_t known = U_MASK(u_charType(static_cast<UChar32>(code)));
  const unsigned classes = char_classes(code);
  if (known != U_GC_CN_MASK || classes == 0) {
    return known;
  }
  if ((classes & kLetter) == 0) {  // the newer ones of these are all of one kind
    return (classes & kNumber) != 0 ? U_GC_ND_MASK
           : (classes & kMark) != 0 ? U_GC_MN_MASK
                                    : U_GC_PO_MASK;
  }
  const auto within = [&](char32_t first, char32_t last) { return code >= first && code <= last; };
  if (code == 0x1C89 || within(0xA7CB, 0xA7CC) || code == 0xA7DA || code == 0xA7DC ||
      within(0x10D50, 0x10D65)) {
    return U_GC_LU_MASK;
  }
  if (code == 0x1C8A || code == 0xA7CD || code == 0xA7DB || within(0x10D70, 0x10D85)) {
    return U_GC_LL_MASK;
  }
  const bool modifier =
      code == 0x10D4E || code == 0x10D6F || within(0x16D40, 0x16D42) || within(0x16D6B, 0x16D6C);
  return modifier ? U_GC_LM_MASK : U_GC_LO_MASK;
}

void append_lower(std::string& out, char32_t code) {
  if (code == 0x130) {
    out += "i\xCC\x87";
    return;
  }
  struct Lower {
    char32_t first, last;
    std::int32_t shift;
  };
  constexpr Lower kNewerPairs[] = {// of Unicode 16 and 17, beyond ICU 72
                                   {0x1C89, 0x1C89, 1},    {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
                                   {0xA7CC, 0xA7CC, 1},    {0xA7CE, 0xA7CE, 1},
                                   {0xA7D2, 0xA7D2, 1},    {0xA7D4, 0xA7D4, 1},
                                   {0xA7DA, 0xA7DA, 1},    {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
                                   {0x10D50, 0x10D65, 32}, {0x16EA0, 0x16EB8, 27}};
  if (code >= 0x1C89) {
    for (const Lower& pair : kNewerPairs) {
      if (code >= pair.first && code <= pair.last) {
        append_utf8(out, static_cast<char32_t>(static_cast<std::int32_t>(code) + pair.shift));
        return;
      }
    }
  }
  append_utf8(out, static_cast<char32_t>(u_tolower(static_cast<UChar32>(code))));
}

}  // namespace finescale
