// SPDX-License-Identifier: Apache-2.0
// From tokens back to text: the decoders of tokenizer.json as a chain of stages, each of which
// takes tokens one after another and holds back no more than it must. Decoding a list and decoding
// a stream are the same code.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "worker/data/tokenizers/json_node.h"

namespace finescale {

class DecoderStage {
 public:
  virtual ~DecoderStage() = default;
  virtual void push(std::string_view token) = 0;
  virtual void finish() = 0;  // hands on what was held back, then tells the next stage
};

// A stage with one behind it.
class LinkedStage : public DecoderStage {
 public:
  explicit LinkedStage(DecoderStage& next) : next_(&next) {}
  void finish() override { next_->finish(); }

 protected:
  [[nodiscard]] DecoderStage& next() const { return *next_; }

 private:
  DecoderStage* next_;
};

// One step of the file; makes a stage for each text that is decoded.
class DecoderStep {
 public:
  virtual ~DecoderStep() = default;
  // `fragments`: what comes are parts of one token.
  [[nodiscard]] virtual std::unique_ptr<DecoderStage> stage(DecoderStage& next,
                                                            bool fragments) const = 0;
  [[nodiscard]] virtual bool joins() const { return false; }  // what it gives are fragments
  // Whether it must see a token whole; fragments are then gathered before it.
  [[nodiscard]] virtual bool needs_whole() const { return true; }
};

class Decoder {
 public:
  // No node: tokens are joined by spaces, as the reference does.
  explicit Decoder(const JsonNode* node);

  // Appends to `text`, which must outlive it.
  class Run {
   public:
    Run(const Decoder& decoder, std::string& text);
    void push(std::string_view token) { stages_.back()->push(token); }
    void finish() { stages_.back()->finish(); }

   private:
    std::vector<std::unique_ptr<DecoderStage>> stages_;  // the last one first
  };

 private:
  std::vector<std::unique_ptr<DecoderStep>> steps_;
};

using DecoderSteps = std::vector<std::unique_ptr<DecoderStep>>;

// Makers of the kinds; each reads its own fields.
[[nodiscard]] std::unique_ptr<DecoderStep> make_byte_level_decoder();
[[nodiscard]] std::unique_ptr<DecoderStep> make_byte_fallback_decoder();
[[nodiscard]] std::unique_ptr<DecoderStep> make_metaspace_decoder(const JsonNode& node);
[[nodiscard]] std::unique_ptr<DecoderStep> make_replace_decoder(const JsonNode& node);
[[nodiscard]] std::unique_ptr<DecoderStep> make_strip_decoder(const JsonNode& node);
[[nodiscard]] std::unique_ptr<DecoderStep> make_wordpiece_decoder(const JsonNode& node);
[[nodiscard]] std::unique_ptr<DecoderStep> make_bpe_decoder(const JsonNode& node);

}  // namespace finescale
