// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/onig_properties.h"

#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

constexpr int kPcreUnicode = 140;  // of PCRE2 10.42; older characters need no help

// Characters that PCRE2 does not know yet, in order.
const std::vector<char32_t>& newer_characters() {
  static const std::vector<char32_t> characters = [] {
    std::vector<char32_t> found;
    for (char32_t code = 0x80; code < 0x110000; ++code) {
      const int age = unicode_age(code);
      if (age > kPcreUnicode || (age == 0 && char_classes(code) != 0)) {
        found.push_back(code);
      }
    }
    return found;
  }();
  return characters;
}

// Class items for those of them for which `holds`.
template <class Holds>
std::string newer_items(Holds holds) {
  std::string out;
  const std::vector<char32_t>& all = newer_characters();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (holds(all[i])) {
      const char32_t first = all[i];
      while (i + 1 < all.size() && all[i + 1] == all[i] + 1 && holds(all[i + 1])) {
        ++i;
      }
      out += hex_escape(first) + "-" + hex_escape(all[i]);
    }
  }
  return out;
}

// Symbols of Unicode 15.1 and 16.
constexpr const char* kNewerSymbols =
    R"(\x{2427}-\x{2429}\x{2FFC}-\x{2FFF}\x{31E4}\x{31E5}\x{31EF}\x{10D8E}\x{10D8F}\x{1CC00}-\x{1CCEF})"
    R"(\x{1CD00}-\x{1CEB3}\x{1F8B2}-\x{1F8BB}\x{1F8C0}\x{1F8C1}\x{1FA89}\x{1FA8F}\x{1FABE}\x{1FAC6})"
    R"(\x{1FADC}\x{1FADF}\x{1FAE9}\x{1FBCB}-\x{1FBEF})";

// Marks that are Alphabetic as of Unicode 16, newer or not.
constexpr const char* kAlphabeticMarks =
    R"(\x{363}-\x{36F}\x{897}\x{C04}\x{F82}\x{F83}\x{11080}\x{11081}\x{1DD3}-\x{1DE6}\x{10D69}\x{10EFC}\x{113B8}-\x{113C0}\x{113C2}\x{113C5})"
    R"(\x{113C7}-\x{113CA}\x{113CC}\x{113CD}\x{1611E}-\x{1612E})";

const std::string& alphabetic_items() {
  static const std::string items =
      R"(\p{Alphabetic})" + newer_items([](char32_t c) {
        return u_isUAlphabetic(static_cast<UChar32>(c)) != 0 || (char_classes(c) & kLetter) != 0;
      }) +
      kAlphabeticMarks;
  return items;
}

std::string category_items(const std::string& name, std::uint32_t mask) {
  std::string out = "\\p{" + name + "}";
  if ((mask & U_GC_CN_MASK) == 0) {  // unassigned ones are fewer now, which items cannot say
    out += newer_items([&](char32_t c) { return (category_mask(c) & mask) != 0; });
  }
  return (mask & U_GC_S_MASK) == U_GC_S_MASK ? out + kNewerSymbols : out;
}

const std::string& digit_items() {
  static const std::string items = category_items("Nd", U_GC_ND_MASK);
  return items;
}

}  // namespace

std::string hex_escape(char32_t code) {
  constexpr std::array<char, 17> kDigits = {"0123456789ABCDEF"};
  std::string digits;
  do {
    digits.insert(digits.begin(), kDigits[code & 0xF]);
    code >>= 4;
  } while (code != 0);
  return "\\x{" + digits + "}";
}

// Alphabetic, M, Nd, Pc.
const std::string& word_items() {
  static const std::string items =
      R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})" +
      newer_items([](char32_t c) { return (char_classes(c) & kWord) != 0; });
  return items;
}

// Oniguruma has its own table for Latin-1, with these superscripts and fractions.
const std::string& lone_word_items() {
  static const std::string items = word_items() + R"(\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";
  return items;
}

std::optional<std::string> posix_items(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  struct Posix {
    const char* name;
    const char* items;
  };
  constexpr std::array<Posix, 5> kPosix = {{{"space", R"(\p{White_Space})"},
                                            {"upper", R"(\p{Uppercase})"},
                                            {"lower", R"(\p{Lowercase})"},
                                            {"xdigit", "0-9a-fA-F"},
                                            {"cntrl", R"(\p{Cc})"}}};
  for (const Posix& posix : kPosix) {
    if (name == posix.name) {
      return posix.items;
    }
  }
  if (name == "word") {
    return word_items();
  }
  if (name == "alpha" || name == "alphabetic") {
    return alphabetic_items();
  }
  if (name == "digit") {
    return digit_items();
  }
  if (name == "alnum") {
    return alphabetic_items() + digit_items();
  }
  if (name == "punct") {
    return category_items("P", U_GC_P_MASK) + category_items("S", U_GC_S_MASK);
  }
  return std::nullopt;
}

std::string property_items(const std::string& name) {
  const std::int32_t script = u_getPropertyValueEnum(UCHAR_SCRIPT, name.c_str());
  if (script != UCHAR_INVALID_CODE) {
    // Without sc: PCRE2 means script extensions.
    const std::string newer = newer_items([&](char32_t c) {
      UErrorCode status = U_ZERO_ERROR;
      return unicode_age(c) != 0 && uscript_getScript(static_cast<UChar32>(c), &status) == script;
    });
    return "\\p{sc:" + name + "}" + newer + (script == USCRIPT_HAN ? R"(\x{2EBF0}-\x{2EE5D})" : "");
  }
  const std::int32_t mask = u_getPropertyValueEnum(UCHAR_GENERAL_CATEGORY_MASK, name.c_str());
  if (mask == UCHAR_INVALID_CODE) {
    return "\\p{" + name + "}";
  }
  const char* brief =
      u_getPropertyValueName(UCHAR_GENERAL_CATEGORY_MASK, mask, U_SHORT_PROPERTY_NAME);
  return category_items(brief == nullptr ? name : brief, static_cast<std::uint32_t>(mask));
}

}  // namespace finescale
