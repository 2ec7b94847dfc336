// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/decoder.h"

namespace finescale {

namespace {

class Collect final : public DecoderStage {  // the end of the chain
 public:
  explicit Collect(std::string& text) : text_(text) {}
  void push(std::string_view token) override { text_ += token; }
  void finish() override {}

 private:
  std::string& text_;
};

class Gather final : public LinkedStage {  // fragments become one token
 public:
  using LinkedStage::LinkedStage;
  void push(std::string_view token) override { whole_ += token; }
  void finish() override {
    next().push(whole_);
    next().finish();
  }

 private:
  std::string whole_;
};

class Fuse final : public DecoderStep {
 public:
  [[nodiscard]] std::unique_ptr<DecoderStage> stage(DecoderStage& next, bool) const override {
    struct Pass final : LinkedStage {
      using LinkedStage::LinkedStage;
      void push(std::string_view token) override { next().push(token); }
    };
    return std::make_unique<Pass>(next);
  }
  [[nodiscard]] bool joins() const override { return true; }
  [[nodiscard]] bool needs_whole() const override { return false; }
};

class Spaces final : public DecoderStep {
 public:
  [[nodiscard]] std::unique_ptr<DecoderStage> stage(DecoderStage& next, bool) const override {
    struct Between final : LinkedStage {
      using LinkedStage::LinkedStage;
      void push(std::string_view token) override {
        if (!first) {
          next().push(" ");
        }
        first = false;
        next().push(token);
      }
      bool first = true;
    };
    return std::make_unique<Between>(next);
  }
};

void add_steps(const JsonNode& node, DecoderSteps& steps) {
  const std::string type = node.type();
  if (type == "Sequence") {
    const JsonNode list = node.at("decoders");
    for (std::size_t i = 0; i < list.size(); ++i) {
      add_steps(list.at(i), steps);
    }
  } else if (type == "ByteLevel") {
    steps.push_back(make_byte_level_decoder());
  } else if (type == "ByteFallback") {
    steps.push_back(make_byte_fallback_decoder());
  } else if (type == "Fuse") {
    steps.push_back(std::make_unique<Fuse>());
  } else if (type == "Metaspace") {
    steps.push_back(make_metaspace_decoder(node));
  } else if (type == "Replace") {
    steps.push_back(make_replace_decoder(node));
  } else if (type == "Strip") {
    steps.push_back(make_strip_decoder(node));
  } else if (type == "WordPiece") {
    steps.push_back(make_wordpiece_decoder(node));
  } else if (type == "BPEDecoder") {
    steps.push_back(make_bpe_decoder(node));
  } else {
    node.unsupported("the decoder " + type);
  }
}

}  // namespace

Decoder::Decoder(const JsonNode* node) {
  if (node == nullptr) {
    steps_.push_back(std::make_unique<Spaces>());
  } else {
    add_steps(*node, steps_);
  }
}

Decoder::Run::Run(const Decoder& decoder, std::string& text) {
  // Which steps see fragments is known from the front, stages are made from the back.
  std::vector<bool> fragments;
  bool parts = false;
  for (const auto& step : decoder.steps_) {
    fragments.push_back(parts);
    parts = step->joins() || (parts && !step->needs_whole());
  }
  stages_.push_back(std::make_unique<Collect>(text));
  for (std::size_t i = decoder.steps_.size(); i-- > 0;) {
    const DecoderStep& step = *decoder.steps_[i];
    const bool gather = fragments[i] && step.needs_whole();
    stages_.push_back(step.stage(*stages_.back(), fragments[i] && !gather));
    if (gather) {
      stages_.push_back(std::make_unique<Gather>(*stages_.back()));
    }
  }
}

}  // namespace finescale
