// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/normalizer.h"

#include "core/error.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

class NormalizerSequence final : public Normalizer {
 public:
  explicit NormalizerSequence(const JsonNode& node) {
    const JsonNode list = node.at("normalizers");
    for (std::size_t i = 0; i < list.size(); ++i) {
      steps_.push_back(make_normalizer(list.at(i)));
    }
  }
  void apply(NormalText& text) const override {
    const bool utf8 = !takes_bytes() || is_valid_utf8(text.text);
    const std::size_t before = text.text.size();
    for (const NormalizerPtr& step : steps_) {
      if (utf8) {
        step->apply(text);
      } else {
        normalize_runs(*step, text);
      }
      check_growth(before, text.text.size());
    }
  }
  [[nodiscard]] bool takes_bytes() const override {
    for (const NormalizerPtr& step : steps_) {
      if (step->takes_bytes()) {
        return true;
      }
    }
    return false;
  }

 private:
  std::vector<NormalizerPtr> steps_;
};

}  // namespace

NormalizerPtr make_normalizer(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "Sequence") {
    return std::make_unique<NormalizerSequence>(node);
  }
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    return make_unicode_normalizer(node);
  }
  if (type == "BertNormalizer") {
    return make_bert_normalizer(node);
  }
  if (type == "Precompiled") {
    return make_precompiled_normalizer(node);
  }
  if (type == "Lowercase") {
    return make_lowercase_normalizer();
  }
  if (type == "StripAccents") {
    return make_strip_accents_normalizer();
  }
  if (type == "Nmt") {
    return make_nmt_normalizer();
  }
  if (type == "Strip") {
    return make_strip_normalizer(node);
  }
  if (type == "Replace") {
    return make_replace_normalizer(node);
  }
  if (type == "Prepend") {
    return make_prepend_normalizer(node);
  }
  if (type == "ByteLevel") {
    return make_byte_level_normalizer();
  }
  node.unsupported("the normalizer " + type);
}

void check_growth(std::size_t bytes_before, std::size_t bytes_after) {
  if (bytes_after > bytes_before * 256 + (1 << 20)) {
    throw Error(ErrorKind::kData, "tokenizer: its rules make " + std::to_string(bytes_after) +
                                      " bytes of a text of " + std::to_string(bytes_before));
  }
}

void normalize_runs(const Normalizer& normalizer, NormalText& text) {
  if (normalizer.takes_bytes() || is_valid_utf8(text.text)) {
    normalizer.apply(text);
    return;
  }
  std::string out;
  bool at_start = text.at_start;
  const std::string_view all = text.text;
  for (std::size_t begin = 0; begin < all.size();) {
    std::size_t end = begin;
    for (int length = decode_utf8(all, end).length; length > 0;
         length = decode_utf8(all, end).length) {
      end += static_cast<std::size_t>(length);
    }
    NormalText run{std::string(all.substr(begin, end - begin)), begin == 0 && at_start};
    normalizer.apply(run);
    if (begin == 0 && end > 0) {
      at_start = run.at_start;
    }
    out += run.text;
    if (end < all.size()) {
      out += all[end++];
    }
    begin = end;
  }
  text = {std::move(out), at_start};
}

}  // namespace finescale
