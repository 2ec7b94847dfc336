// SPDX-License-Identifier: Apache-2.0
// Unicode forms, case, accents. The reference's libraries hold tables of different versions of
// Unicode (9 for the forms and combining marks, 8 for general categories); a character that is
// newer than a table is left alone here too.
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>

#include "core/error.h"
#include "worker/data/tokenizers/normalizer.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

std::uint32_t category(char32_t code) {
  return U_MASK(u_charType(static_cast<UChar32>(code)));
}

class UnicodeForm {
 public:
  explicit UnicodeForm(std::string_view name) {
    UErrorCode status = U_ZERO_ERROR;
    form_ = name == "NFC"    ? icu::Normalizer2::getNFCInstance(status)
            : name == "NFD"  ? icu::Normalizer2::getNFDInstance(status)
            : name == "NFKC" ? icu::Normalizer2::getNFKCInstance(status)
                             : icu::Normalizer2::getNFKDInstance(status);
    known_ = icu::UnicodeSet(u"[:age=9.0:]", status);
    FS_CHECK(U_SUCCESS(status), "ICU has its normalization data");
    known_.freeze();
  }

  void apply(std::string& text) const {
    UErrorCode status = U_ZERO_ERROR;
    if (is_ascii(text) || form_->isNormalizedUTF8(text, status) != 0) {
      return;
    }
    std::string out;
    icu::StringByteSink<std::string> sink(&out, static_cast<std::int32_t>(text.size()));
    icu::FilteredNormalizer2(*form_, known_).normalizeUTF8(0, text, sink, nullptr, status);
    FS_CHECK(U_SUCCESS(status), "ICU normalizes UTF-8");
    text = std::move(out);
  }

 private:
  const icu::Normalizer2* form_ = nullptr;
  icu::UnicodeSet known_;
};

class UnicodeNormalizer final : public Normalizer {
 public:
  explicit UnicodeNormalizer(const std::string& form) : form_(form) {}
  void apply(NormalText& text) const override { form_.apply(text.text); }

 private:
  UnicodeForm form_;
};

// Leaves out the characters for which `gone` holds.
template <class Gone>
void remove_if(NormalText& text, Gone gone) {
  std::string out;
  out.reserve(text.text.size());
  for (std::size_t at = 0; at < text.text.size();) {
    const CodePoint c = decode_utf8(text.text, at);
    const auto length = static_cast<std::size_t>(std::max(1, c.length));
    if (gone(c.value)) {
      text.at_start = text.at_start && !out.empty();
    } else {
      out.append(text.text, at, length);
    }
    at += length;
  }
  text.text = std::move(out);
}

// Replaces each character by what `image(out, c)` appends.
template <class Image>
void map_characters(std::string& text, Image image) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    image(out, c.value);
    at += static_cast<std::size_t>(std::max(1, c.length));
  }
  text = std::move(out);
}

void lower(std::string& text) {
  map_characters(text, [](std::string& out, char32_t c) {
    if (c < 0x80) {
      out += static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    } else {
      append_lower(out, c);
    }
  });
}

class Lowercase final : public Normalizer {
 public:
  void apply(NormalText& text) const override { lower(text.text); }
};

class StripAccents final : public Normalizer {
 public:
  void apply(NormalText& text) const override {
    remove_if(text, [](char32_t c) {
      constexpr int kKnown = 90;
      if (c < 0x300) {
        return false;
      }
      return c == 0x1CF2 || c == 0x1CF3 ||
             ((category(c) & U_GC_M_MASK) != 0 && c != 0x111C9 && unicode_age(c) <= kKnown);
    });
  }
};

class Nmt final : public Normalizer {
 public:
  void apply(NormalText& text) const override {
    remove_if(text, [](char32_t c) {
      return (c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
             c == 0x9F;
    });
    map_characters(text.text, [](std::string& out, char32_t c) {
      const bool space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 ||
                         c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
      append_utf8(out, space ? U' ' : c);
    });
  }
};

class BertNormalizer final : public Normalizer {
 public:
  explicit BertNormalizer(const JsonNode& node)
      : clean_(node.flag_or("clean_text", true)),
        chinese_(node.flag_or("handle_chinese_chars", true)),
        lowercase_(node.flag_or("lowercase", true)),
        strip_accents_(node.flag_or("strip_accents", lowercase_)),
        decompose_("NFD") {}

  void apply(NormalText& text) const override {
    if (clean_) {
      remove_if(text, [](char32_t c) { return is_removed(c); });
      map_characters(text.text, [](std::string& out, char32_t c) {
        append_utf8(out, is_white_space(c) ? U' ' : c);
      });
    }
    if (chinese_ && !is_ascii(text.text)) {
      map_characters(text.text, [](std::string& out, char32_t c) {
        const char* around = is_chinese(c) ? " " : "";
        out += around;
        append_utf8(out, c);
        out += around;
      });
    }
    if (strip_accents_ && !is_ascii(text.text)) {
      decompose_.apply(text.text);
      remove_if(text, [](char32_t c) { return is_accent(c); });
    }
    if (lowercase_) {
      lower(text.text);
    }
  }

 private:
  static constexpr int kKnown = 80;

  static bool is_removed(char32_t c) {
    if (c == '\t' || c == '\n' || c == '\r') {
      return false;
    }
    if (c < 0x7F) {
      return c < 0x20;
    }
    const std::uint32_t mask = category(c);
    return c == 0xFFFD || (mask & (U_GC_CC_MASK | U_GC_CO_MASK)) != 0 ||
           ((mask & U_GC_CF_MASK) != 0 && unicode_age(c) <= kKnown);
  }

  static bool is_chinese(char32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
           (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
  }

  // Nonspacing marks as of Unicode 8; five characters have changed their category since.
  static bool is_accent(char32_t c) {
    if (c < 0x300) {
      return false;
    }
    const bool changed = c == 0x1885 || c == 0x1886 || c == 0xA9BD || c == 0x111C9;
    return c == 0x1734 ||
           ((category(c) & U_GC_MN_MASK) != 0 && !changed && unicode_age(c) <= kKnown);
  }

  bool clean_;
  bool chinese_;
  bool lowercase_;
  bool strip_accents_;
  UnicodeForm decompose_;
};

}  // namespace

NormalizerPtr make_unicode_normalizer(const JsonNode& node) {
  return std::make_unique<UnicodeNormalizer>(node.type());
}
NormalizerPtr make_bert_normalizer(const JsonNode& node) {
  return std::make_unique<BertNormalizer>(node);
}
NormalizerPtr make_lowercase_normalizer() {
  return std::make_unique<Lowercase>();
}
NormalizerPtr make_strip_accents_normalizer() {
  return std::make_unique<StripAccents>();
}
NormalizerPtr make_nmt_normalizer() {
  return std::make_unique<Nmt>();
}

}  // namespace finescale
