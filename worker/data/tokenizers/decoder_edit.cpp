// SPDX-License-Identifier: Apache-2.0
// Decoders that cut and replace text.
#include <algorithm>

#include "worker/data/tokenizers/decoder.h"
#include "worker/data/tokenizers/normalizer.h"
#include "worker/data/tokenizers/regex.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

class ReplaceDecoder final : public DecoderStep {
 public:
  explicit ReplaceDecoder(const JsonNode& node)
      : pattern_(node.at("pattern")), content_(node.at("content").text()) {}

  [[nodiscard]] std::unique_ptr<DecoderStage> stage(DecoderStage& next,
                                                    bool fragments) const override {
    struct Whole final : LinkedStage {
      Whole(DecoderStage& after, const ReplaceDecoder& rules) : LinkedStage(after), step(rules) {}
      void push(std::string_view token) override {
        step.pattern_.find_all(token, matches);
        check_growth(token.size(), token.size() + matches.size() * step.content_.size());
        std::string out;
        std::size_t copied = 0;
        for (const Span& match : matches) {
          out += token.substr(copied, match.begin - copied);
          out += step.content_;
          copied = match.end;
        }
        next().push(out + std::string(token.substr(copied)));
      }
      const ReplaceDecoder& step;
      std::vector<Span> matches;
    };
    // Of fragments only a text can be replaced: what may begin it is held back.
    struct Parts final : LinkedStage {
      Parts(DecoderStage& after, const ReplaceDecoder& rules) : LinkedStage(after), step(rules) {}
      void push(std::string_view token) override {
        held += token;
        const std::string& from = step.pattern_.source();
        std::string out;
        std::size_t begin = 0;
        for (std::size_t at = held.find(from); at != std::string::npos;
             at = held.find(from, begin)) {
          out.append(held, begin, at - begin);
          out += step.content_;
          begin = at + from.size();
        }
        std::size_t keep = std::min(from.size() - 1, held.size() - begin);
        while (keep > 0 && held.compare(held.size() - keep, keep, from, 0, keep) != 0) {
          --keep;
        }
        out.append(held, begin, held.size() - keep - begin);
        held.erase(0, held.size() - keep);
        if (!out.empty()) {
          next().push(out);
        }
      }
      void finish() override {
        next().push(held);
        next().finish();
      }
      const ReplaceDecoder& step;
      std::string held;
    };
    return fragments ? std::unique_ptr<DecoderStage>(std::make_unique<Parts>(next, *this))
                     : std::make_unique<Whole>(next, *this);
  }
  [[nodiscard]] bool needs_whole() const override { return !pattern_.is_literal(); }

 private:
  Regex pattern_;
  std::string content_;
};

// Up to `start` characters from the left and `stop` from the right, while they are `content`.
class StripDecoder final : public DecoderStep {
 public:
  explicit StripDecoder(const JsonNode& node)
      : content_(to_utf8(node.at("content").character())),
        start_(node.at("start").integer(0, INT32_MAX)),
        stop_(node.at("stop").integer(0, INT32_MAX)) {}

  [[nodiscard]] std::unique_ptr<DecoderStage> stage(DecoderStage& next,
                                                    bool fragments) const override {
    struct Cut final : LinkedStage {
      Cut(DecoderStage& after, const StripDecoder& rules, bool one_token)
          : LinkedStage(after), step(rules), parts(one_token), left(rules.start_) {}
      void push(std::string_view token) override {
        std::int64_t& budget = left;
        if (!parts) {
          budget = step.start_;
        }
        while (budget > 0 && token.starts_with(step.content_)) {
          token.remove_prefix(step.content_.size());
          --budget;
        }
        if (!token.empty()) {
          budget = 0;
        }
        for (std::int64_t i = 0; i < step.stop_ && token.ends_with(step.content_); ++i) {
          token.remove_suffix(step.content_.size());
        }
        next().push(token);
      }
      const StripDecoder& step;
      bool parts;
      std::int64_t left;
    };
    return std::make_unique<Cut>(next, *this, fragments);
  }
  [[nodiscard]] bool needs_whole() const override { return stop_ > 0 || content_.size() > 1; }

 private:
  std::string content_;
  std::int64_t start_;
  std::int64_t stop_;
};

}  // namespace

std::unique_ptr<DecoderStep> make_replace_decoder(const JsonNode& node) {
  return std::make_unique<ReplaceDecoder>(node);
}
std::unique_ptr<DecoderStep> make_strip_decoder(const JsonNode& node) {
  return std::make_unique<StripDecoder>(node);
}

}  // namespace finescale
