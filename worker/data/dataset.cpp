// SPDX-License-Identifier: Apache-2.0
#include "worker/data/dataset.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "worker/data/operators/mixture.h"
#include "worker/data/reader.h"
#include "worker/data/tasks/task.h"
#include "worker/data/token_cache.h"

namespace finescale {

namespace {

// The held-out part is the same for every seed of a sweep: metrics of different seeds are paired on
// it.
constexpr std::uint64_t kHeldOutSeed = 0;

std::vector<std::int64_t> all_of(std::int64_t size) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

}  // namespace

std::vector<std::int64_t> part_of(std::int64_t size, double fraction, bool held_out) {
  const auto total = static_cast<std::uint64_t>(size);
  const auto cut = static_cast<std::uint64_t>(std::llround(fraction * static_cast<double>(total)));
  const Permutation permutation(total, kHeldOutSeed, Purpose::kSubset);
  std::vector<bool> is_held_out(total, false);
  for (std::uint64_t i = 0; i < cut; ++i) {
    is_held_out[permutation[i]] = true;
  }
  std::vector<std::int64_t> kept;
  for (std::uint64_t i = 0; i < total; ++i) {
    if (is_held_out[i] == held_out) {
      kept.push_back(static_cast<std::int64_t>(i));
    }
  }
  return kept;
}

Dataset::Dataset(const config::DatasetRef& ref, const config::DataRules& rules,
                 const Tokenizer& tokenizer, const TokenCache* cache) {
  const ExampleSource source = [&](const std::function<void(const Example&)>& take) {
    ExampleBuilder builder(rules, tokenizer);
    DatasetFacts facts;
    ReadSummary read =
        read_examples(ref, rules.on_bad_example(), [&](RawExample&& raw, const std::string& where) {
          if (const auto example = builder.build(raw, where, facts.counts)) {
            take(*example);
          }
        });
    facts.counts.skipped = read.skipped;
    facts.forms = read.forms;
    facts.formats = std::move(read.formats);
    facts.first_bad = std::move(read.first_bad);
    facts.end_token = builder.end_token();
    return facts;
  };
  if (cache != nullptr && !cache->directory.empty()) {
    CachedTokens cached = cached_tokens(*cache, token_key(ref, rules, *cache), source);
    table_ = std::move(cached.table);
    facts_ = std::move(cached.facts);
    cache_story_ = std::move(cached.story);
  } else {
    facts_ = source([this](const Example& example) { table_.add(example); });
  }
  if (ref.mix().streams() == config::STREAMS_SEPARATE) {
    stream_ratios_ = finescale::stream_ratios(ref.mix());
  }
  const bool takes_part = rules.eval_fraction() > 0 && (ref.held_out_part() || ref.name().empty());
  order_ = takes_part ? part_of(table_.size(), rules.eval_fraction(), ref.held_out_part())
                      : all_of(table_.size());
  if (order_.empty()) {
    throw Error(
        ErrorKind::kData,
        "no examples are left in the dataset" + (ref.name().empty() ? "" : " " + ref.name()),
        dataset_source(ref),
        std::to_string(counts().read) + " were read, " + std::to_string(counts().skipped) +
            " skipped, " + std::to_string(counts().dropped) + " dropped as too long");
  }
}

Dataset::Dataset(const std::vector<Example>& examples, std::vector<double> stream_ratios)
    : stream_ratios_(std::move(stream_ratios)) {
  for (const Example& example : examples) {
    table_.add(example);
  }
  order_ = all_of(table_.size());
  facts_.counts.read = table_.size();
}

std::string Dataset::describe() const {
  const DatasetCounts& c = facts_.counts;
  std::string out = finescale::describe(facts_.forms) + " from " + facts_.formats;
  const auto add = [&out](std::int64_t count, const std::string& what) {
    out += count > 0 ? ", " + std::to_string(count) + " " + what : "";
  };
  add(c.skipped, "skipped (the first " + facts_.first_bad + ")");
  add(c.truncated, "truncated");
  add(c.dropped, "dropped as too long");
  return out + (cache_story_.empty() ? "" : "; " + cache_story_);
}

std::string dataset_source(const config::DatasetRef& ref) {
  if (ref.files_size() > 0) {
    return ref.files(0).path();
  }
  if (ref.inputs_size() > 0) {
    return ref.label();
  }
  return ref.has_artifact() ? "the data of stage " + ref.artifact()
                            : "task " + task_name(ref.task());
}

std::vector<std::string> read_texts(const config::DatasetRef& ref, const config::DataRules& rules) {
  std::vector<std::string> texts;
  const auto take = [&texts](std::string&& text) {
    if (!text.empty()) {
      texts.push_back(std::move(text));
    }
  };
  (void)read_examples(ref, rules.on_bad_example(), [&](RawExample&& raw, const std::string&) {
    take(std::move(raw.prompt));
    take(std::move(raw.response));
    take(std::move(raw.rejected));
    for (auto& message : raw.messages) {
      if (const auto content = message.find("content");
          content != message.end() && content->is_string()) {
        take(std::move(content->get_ref<std::string&>()));
      }
    }
  });
  return texts;
}

std::size_t Dataset::memory_bytes() const noexcept {
  return table_.memory_bytes() + order_.capacity() * sizeof(std::int64_t);
}

}  // namespace finescale
