// SPDX-License-Identifier: Apache-2.0
// The tokenised examples of a stage. Read from files, or from what an earlier reading left in a
// cache; nothing is dropped silently.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/schema/stage.pb.h"
#include "worker/data/example_builder.h"
#include "worker/data/example_table.h"
#include "worker/data/tokenizer.h"

namespace finescale {

struct TokenCache;

// What is known of a dataset beside its tokens.
struct DatasetFacts {
  DatasetCounts counts;
  FormCounts forms{};
  std::string formats;          // "JSONL"
  std::string first_bad;        // of the records skipped
  std::int32_t end_token = -1;  // what ends an answer
};

class Dataset {
 public:
  // Throws kData with file:line and what to do. Empty data is an error. With a cache the tokens
  // stay on disk and are mapped.
  Dataset(const config::DatasetRef& ref, const config::DataRules& rules, const Tokenizer& tokenizer,
          const TokenCache* cache = nullptr);
  explicit Dataset(const std::vector<Example>& examples, std::vector<double> stream_ratios = {});

  [[nodiscard]] std::int64_t size() const noexcept {
    return static_cast<std::int64_t>(order_.size());
  }
  // Allocates nothing; valid as long as the dataset.
  [[nodiscard]] ExampleView operator[](std::int64_t index) const {
    return table_[order_[static_cast<std::size_t>(index)]];
  }
  [[nodiscard]] std::size_t memory_bytes() const noexcept;  // without what is mapped
  // Of a mixture of separate streams how much of each; else empty.
  [[nodiscard]] const std::vector<double>& stream_ratios() const noexcept { return stream_ratios_; }
  [[nodiscard]] const DatasetCounts& counts() const noexcept { return facts_.counts; }
  [[nodiscard]] const DatasetFacts& facts() const noexcept { return facts_; }
  // What was detected and from where the tokens came, for the log.
  [[nodiscard]] std::string describe() const;

 private:
  ExampleTable table_;
  std::vector<std::int64_t> order_;  // examples of the table that belong to it
  DatasetFacts facts_;
  std::vector<double> stream_ratios_;
  std::string cache_story_;
};

// Places of the examples of a pool that are held out, or of those that are not, ascending.
[[nodiscard]] std::vector<std::int64_t> part_of(std::int64_t size, double fraction, bool held_out);

// The first file, or what else the examples come from: for messages.
[[nodiscard]] std::string dataset_source(const config::DatasetRef& ref);

// The raw texts of a dataset, for training a tokenizer: prompts and responses, texts, or what
// messages say.
[[nodiscard]] std::vector<std::string> read_texts(const config::DatasetRef& ref,
                                                  const config::DataRules& rules);

}  // namespace finescale
