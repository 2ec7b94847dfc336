// SPDX-License-Identifier: Apache-2.0
// Decoders that put the spaces between words back.
#include <array>
#include <optional>

#include "worker/data/tokenizers/decoder.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = from.empty() ? std::string::npos : text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

class MetaspaceDecoder final : public DecoderStep {
 public:
  explicit MetaspaceDecoder(const JsonNode& node)
      : replacement_(to_utf8(node.at("replacement").character())),
        drops_first_(node.text_or("prepend_scheme", "always") != "never" &&
                     node.flag_or("add_prefix_space", true)) {}
  [[nodiscard]] std::unique_ptr<DecoderStage> stage(DecoderStage& next, bool) const override {
    struct Spaces final : LinkedStage {
      Spaces(DecoderStage& after, const MetaspaceDecoder& rules)
          : LinkedStage(after), step(rules) {}
      void push(std::string_view token) override {
        next().push(replace_all(std::string(token), step.replacement_,
                                first && step.drops_first_ ? "" : " "));
        first = false;
      }
      const MetaspaceDecoder& step;
      bool first = true;
    };
    return std::make_unique<Spaces>(next, *this);
  }

 private:
  std::string replacement_;
  bool drops_first_;
};

class WordPieceDecoder final : public DecoderStep {
 public:
  explicit WordPieceDecoder(const JsonNode& node)
      : prefix_(node.text_or("prefix", "##")), cleanup_(node.flag_or("cleanup", true)) {}

  [[nodiscard]] std::unique_ptr<DecoderStage> stage(DecoderStage& next, bool) const override {
    struct Words final : LinkedStage {
      Words(DecoderStage& after, const WordPieceDecoder& rules) : LinkedStage(after), step(rules) {}
      void push(std::string_view token) override {
        std::string text(token);
        if (!first) {
          text = text.starts_with(step.prefix_) ? text.substr(step.prefix_.size()) : " " + text;
        }
        first = false;
        next().push(step.cleanup_ ? clean(std::move(text)) : text);
      }
      static std::string clean(std::string text) {
        struct Rule {
          std::string_view from, to;
        };
        constexpr std::array<Rule, 11> kRules = {{{" .", "."},
                                                  {" ?", "?"},
                                                  {" !", "!"},
                                                  {" ,", ","},
                                                  {" ' ", "'"},
                                                  {" n't", "n't"},
                                                  {" 'm", "'m"},
                                                  {" do not", " don't"},
                                                  {" 's", "'s"},
                                                  {" 've", "'ve"},
                                                  {" 're", "'re"}}};
        for (const Rule& rule : kRules) {
          text = replace_all(std::move(text), rule.from, rule.to);
        }
        return text;
      }
      const WordPieceDecoder& step;
      bool first = true;
    };
    return std::make_unique<Words>(next, *this);
  }

 private:
  std::string prefix_;
  bool cleanup_;
};

// The suffix that ends a word becomes a space, but at the end of the text.
class BpeDecoder final : public DecoderStep {
 public:
  explicit BpeDecoder(const JsonNode& node) : suffix_(node.text_or("suffix", "</w>")) {}

  [[nodiscard]] std::unique_ptr<DecoderStage> stage(DecoderStage& next, bool) const override {
    struct Words final : LinkedStage {
      Words(DecoderStage& after, const BpeDecoder& rules) : LinkedStage(after), step(rules) {}
      void push(std::string_view token) override {
        if (held) {
          next().push(replace_all(std::move(*held), step.suffix_, " "));
        }
        held = std::string(token);
      }
      void finish() override {
        if (held) {
          next().push(replace_all(std::move(*held), step.suffix_, ""));
        }
        next().finish();
      }
      const BpeDecoder& step;
      std::optional<std::string> held;
    };
    return std::make_unique<Words>(next, *this);
  }

 private:
  std::string suffix_;
};

}  // namespace

std::unique_ptr<DecoderStep> make_metaspace_decoder(const JsonNode& node) {
  return std::make_unique<MetaspaceDecoder>(node);
}
std::unique_ptr<DecoderStep> make_wordpiece_decoder(const JsonNode& node) {
  return std::make_unique<WordPieceDecoder>(node);
}
std::unique_ptr<DecoderStep> make_bpe_decoder(const JsonNode& node) {
  return std::make_unique<BpeDecoder>(node);
}

}  // namespace finescale
