// SPDX-License-Identifier: Apache-2.0
// Tokenized examples of JSONL files. Reading reports file:line of a bad example; nothing is dropped
// silently.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "configs/schema/stage.pb.h"
#include "worker/data/tokenizer.h"

namespace finescale {

struct Example {
  std::vector<std::int32_t>
      tokens;                   // prompt, prompt_end, response, response_end | text, response_end
  std::int32_t num_prompt = 0;  // tokens [0, num_prompt) are not scored as targets
  std::string prompt;           // raw text, for generation and samples; empty for {"text"}
  std::string response;
};

struct DatasetCounts {
  std::int64_t read = 0;
  std::int64_t skipped = 0;    // on_bad_example: skip
  std::int64_t truncated = 0;  // on_overlong: truncate
  std::int64_t dropped = 0;    // on_overlong: drop
};

class Dataset {
 public:
  // Throws kData with file:line and what to do. Empty data is an error.
  Dataset(const config::DatasetRef& ref, const config::DataRules& rules,
          const Tokenizer& tokenizer);
  explicit Dataset(std::vector<Example> examples);

  [[nodiscard]] std::int64_t size() const noexcept {
    return static_cast<std::int64_t>(examples_.size());
  }
  [[nodiscard]] const Example& operator[](std::int64_t index) const {
    return examples_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] std::size_t memory_bytes() const noexcept;
  [[nodiscard]] const DatasetCounts& counts() const noexcept { return counts_; }

 private:
  std::vector<Example> examples_;
  DatasetCounts counts_;
};

// The raw texts of a JSONL dataset, for training a tokenizer: prompts and responses, or texts.
[[nodiscard]] std::vector<std::string> read_texts(const config::DatasetRef& ref,
                                                  const config::DataRules& rules);

}  // namespace finescale
