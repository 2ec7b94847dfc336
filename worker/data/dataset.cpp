// SPDX-License-Identifier: Apache-2.0
#include "worker/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "worker/data/end_tokens.h"
#include "worker/data/jsonl.h"

namespace finescale {

namespace {

// The held-out part is the same for every seed of a sweep: metrics of different seeds are paired on
// it.
constexpr std::uint64_t kHeldOutSeed = 0;

class Builder {
 public:
  Builder(const config::DataRules& rules, const Tokenizer& tokenizer)
      : rules_(rules), tokenizer_(tokenizer), ends_(end_tokens(rules, tokenizer)) {}

  // Nothing when the example is dropped.
  void add(RawExample&& raw, const std::string& where, std::vector<Example>& out,
           DatasetCounts& counts) const {
    Example example;
    if (!raw.is_text) {
      example.tokens = tokenizer_.encode_ordinary(raw.prompt);
      if (ends_.prompt) {
        example.tokens.push_back(*ends_.prompt);
      }
      example.num_prompt = static_cast<std::int32_t>(example.tokens.size());
    }
    const std::vector<std::int32_t> response = tokenizer_.encode_ordinary(raw.response);
    example.tokens.insert(example.tokens.end(), response.begin(), response.end());
    example.tokens.push_back(ends_.response);
    ++counts.read;
    if (static_cast<std::int64_t>(example.tokens.size()) > rules_.max_length()) {
      switch (rules_.on_overlong()) {
        case config::ON_OVERLONG_ERROR:
          throw Error(ErrorKind::kData,
                      "example has " + std::to_string(example.tokens.size()) +
                          " tokens, data.max_length is " + std::to_string(rules_.max_length()),
                      where,
                      "raise data.max_length, or set data.on_overlong to truncate or drop (both "
                      "are counted)");
        case config::ON_OVERLONG_DROP:
          ++counts.dropped;
          return;
        case config::ON_OVERLONG_TRUNCATE:
          if (example.num_prompt >= rules_.max_length()) {  // no label would be left
            ++counts.dropped;
            return;
          }
          ++counts.truncated;
          example.tokens.resize(static_cast<std::size_t>(rules_.max_length()));
          break;
      }
    }
    example.prompt = std::move(raw.prompt);
    example.response = std::move(raw.response);
    out.push_back(std::move(example));
  }

 private:
  const config::DataRules& rules_;
  const Tokenizer& tokenizer_;
  EndTokens ends_;
};

void take_part(std::vector<Example>& examples, double fraction, bool held_out) {
  const auto total = static_cast<std::uint64_t>(examples.size());
  const auto cut = static_cast<std::uint64_t>(std::llround(fraction * static_cast<double>(total)));
  const Permutation permutation(total, kHeldOutSeed, Purpose::kSubset);
  std::vector<bool> is_held_out(examples.size(), false);
  for (std::uint64_t i = 0; i < cut; ++i) {
    is_held_out[permutation[i]] = true;
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    if (is_held_out[i] == held_out) {
      std::swap(examples[kept++], examples[i]);
    }
  }
  examples.resize(kept);
}

}  // namespace

Dataset::Dataset(const config::DatasetRef& ref, const config::DataRules& rules,
                 const Tokenizer& tokenizer) {
  const Builder builder(rules, tokenizer);
  counts_.skipped =
      read_jsonl(ref, rules.on_bad_example(), [&](RawExample&& raw, const std::string& where) {
        builder.add(std::move(raw), where, examples_, counts_);
      });
  if (rules.eval_fraction() > 0 && (ref.held_out_part() || ref.name().empty())) {
    take_part(examples_, rules.eval_fraction(), ref.held_out_part());
  }
  if (examples_.empty()) {
    throw Error(
        ErrorKind::kData,
        "no examples are left in the dataset" + (ref.name().empty() ? "" : " " + ref.name()),
        ref.files_size() > 0 ? ref.files(0).path() : "",
        std::to_string(counts_.read) + " were read, " + std::to_string(counts_.skipped) +
            " skipped, " + std::to_string(counts_.dropped) + " dropped as too long");
  }
}

Dataset::Dataset(std::vector<Example> examples) : examples_(std::move(examples)) {
  counts_.read = static_cast<std::int64_t>(examples_.size());
}

std::vector<std::string> read_texts(const config::DatasetRef& ref, const config::DataRules& rules) {
  std::vector<std::string> texts;
  read_jsonl(ref, rules.on_bad_example(), [&](RawExample&& raw, const std::string& /*where*/) {
    if (!raw.prompt.empty()) {
      texts.push_back(std::move(raw.prompt));
    }
    texts.push_back(std::move(raw.response));
  });
  return texts;
}

std::size_t Dataset::memory_bytes() const noexcept {
  std::size_t bytes = examples_.capacity() * sizeof(Example);
  for (const Example& example : examples_) {
    bytes += example.tokens.capacity() * sizeof(std::int32_t) + example.prompt.capacity() +
             example.response.capacity();
  }
  return bytes;
}

}  // namespace finescale
