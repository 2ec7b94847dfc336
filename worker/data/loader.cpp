// SPDX-License-Identifier: Apache-2.0
#include "worker/data/loader.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/error.h"
#include "core/random.h"
#include "kernels/cross_entropy.h"

namespace finescale {

namespace {

// Tokens [from, to) of the example as a segment of its own.
void append_segment(const ExampleView& example, std::int32_t from, std::int32_t to,
                    std::int64_t index, MicroBatch& batch) {
  const std::size_t begin = batch.tokens.size();
  const std::size_t end = begin + static_cast<std::size_t>(to - from);
  if (batch.segments.empty()) {
    batch.segments.push_back(0);
  }
  batch.tokens.insert(batch.tokens.end(), example.tokens.begin() + from,
                      example.tokens.begin() + to);
  batch.positions.resize(end);
  std::iota(batch.positions.begin() + static_cast<std::ptrdiff_t>(begin), batch.positions.end(), 0);
  batch.labels.resize(end, kIgnoreLabel);
  for (const LabelRange& range : example.learnt) {
    if (range.begin < from || range.begin >= to) {
      continue;
    }
    // The position in front of a token predicts it.
    std::copy(example.tokens.begin() + range.begin, example.tokens.begin() + range.end,
              batch.labels.begin() + static_cast<std::ptrdiff_t>(begin) + range.begin - from - 1);
    batch.num_labels += range.end - range.begin;
  }
  batch.segments.push_back(static_cast<std::int32_t>(batch.tokens.size()));
  batch.examples.push_back(index);
}

std::int32_t tokens_of(const ExampleView& example) {
  return static_cast<std::int32_t>(example.tokens.size());
}

// Of a preference both sequences.
void append_example(const ExampleView& example, std::int64_t index, MicroBatch& batch) {
  const std::int32_t first_end = example.second > 0 ? example.second : tokens_of(example);
  append_segment(example, 0, first_end, index, batch);
  if (example.second > 0) {
    append_segment(example, example.second, tokens_of(example), index, batch);
    ++batch.num_pairs;
  }
}

void clear(MicroBatch& batch) {
  batch.tokens.clear();
  batch.labels.clear();
  batch.positions.clear();
  batch.segments.clear();
  batch.examples.clear();
  batch.weights.clear();
  batch.num_labels = 0;
  batch.num_pairs = 0;
}

}  // namespace

void TrainLoader::look_for_weights() {
  for (std::int64_t i = 0; i < dataset_->size() && !is_weighted_; ++i) {
    is_weighted_ = (*dataset_)[i].loss_weight != 1;
  }
}

// The budget is shared out by the ratios; each stream's part is nested in that of a larger budget.
void TrainLoader::divide_streams() {
  const std::vector<double>& ratios = dataset_->stream_ratios();
  if (ratios.empty()) {
    return;
  }
  streams_.resize(ratios.size());
  for (std::int64_t i = 0; i < dataset_->size(); ++i) {
    streams_.at(static_cast<std::size_t>((*dataset_)[i].stream) - 1).examples.push_back(i);
  }
  const double sum = std::accumulate(ratios.begin(), ratios.end(), 0.0);
  for (std::size_t s = 0; s < streams_.size(); ++s) {
    const auto share =
        static_cast<std::int64_t>(std::ceil(ratios[s] / sum * static_cast<double>(budget_)));
    const std::int64_t size = std::ssize(streams_[s].examples);
    const bool is_whole = budget_ == dataset_->size();
    streams_[s].budget = is_whole ? size : std::min(std::max<std::int64_t>(1, share), size);
    if (streams_[s].budget == 0) {
      throw Error(ErrorKind::kData, "stream " + std::to_string(s + 1) + " has no example", {},
                  "look at data.on_overlong and the operators");
    }
  }
  dealer_ = std::make_unique<Turns>(ratios);
}

void TrainLoader::deal_turns(std::int64_t end) {
  std::vector<std::int64_t> taken(streams_.size(), 0);
  for (const Turn& turn : turns_) {
    ++taken[turn.stream];
  }
  while (std::ssize(turns_) < end) {
    const std::size_t stream = dealer_->next();
    if (taken[stream] == streams_[stream].budget) {
      first_repeat_ = std::min(first_repeat_, std::ssize(turns_));
    }
    turns_.push_back({static_cast<std::uint32_t>(stream), taken[stream]++});
  }
}

std::int64_t TrainLoader::streamed_example_at(std::int64_t position) const {
  const Turn& turn = turns_[static_cast<std::size_t>(position)];
  const StreamPart& part = streams_[turn.stream];
  const auto number = static_cast<std::uint64_t>(seed_) * 1009 + turn.stream;
  const std::int64_t epoch = turn.number / part.budget;
  auto within = static_cast<std::uint64_t>(turn.number % part.budget);
  if (epoch > 0) {
    within =
        Permutation(static_cast<std::uint64_t>(part.budget),
                    number * 1000003 + static_cast<std::uint64_t>(epoch), Purpose::kOrder)[within];
  }
  const Permutation pool(part.examples.size(), number, Purpose::kSubset);
  return part.examples[pool[within]];
}

std::int64_t TrainLoader::example_at(std::int64_t position) const {
  if (!streams_.empty()) {
    return streamed_example_at(position);
  }
  const std::int64_t epoch = position / budget_;
  auto within = static_cast<std::uint64_t>(position % budget_);
  if (epoch > 0) {  // later epochs go through the same examples in another order
    const auto seed =
        static_cast<std::uint64_t>(seed_) * 1000003 + static_cast<std::uint64_t>(epoch);
    within = Permutation(static_cast<std::uint64_t>(budget_), seed, Purpose::kOrder)[within];
  }
  const Permutation pool(static_cast<std::uint64_t>(dataset_->size()),
                         static_cast<std::uint64_t>(seed_), Purpose::kSubset);
  return static_cast<std::int64_t>(pool[within]);
}

TrainLoader::TrainLoader(const Dataset& dataset, const config::Train& train, std::int64_t seed)
    : dataset_(&dataset), seed_(seed), micro_batch_tokens_(train.micro_batch_tokens()) {
  budget_ = train.has_data_budget() ? train.data_budget() : dataset.size();
  if (budget_ > dataset.size()) {
    throw Error(ErrorKind::kData,
                "data_budget is " + std::to_string(budget_) + ", but the pool has only " +
                    std::to_string(dataset.size()) + " examples",
                {}, "lower train.data_budget or add data");
  }
  divide_streams();
  look_for_weights();
  // A run is bounded by steps, by tokens, or by epochs; min_steps asks for more epochs.
  const auto by_epochs = std::max<std::int64_t>(
      1,
      static_cast<std::int64_t>(std::floor(train.epochs() * static_cast<double>(budget_) + 1e-9)));
  const std::int64_t batch_tokens =
      train.batch().kind_case() == config::Batch::kExamples ? 0 : train.batch().tokens();
  const std::int64_t batch_examples =
      train.batch().kind_case() == config::Batch::kExamples ? train.batch().examples() : 0;
  const auto done = [&](std::int64_t steps, std::int64_t position) {
    if (train.has_steps()) {
      return steps >= train.steps();
    }
    if (train.has_tokens()) {
      return num_tokens_ >= train.tokens();
    }
    return position >= by_epochs && steps >= train.min_steps();
  };
  std::int64_t position = 0;
  first_.push_back(0);
  while (!done(num_steps(), position)) {
    // A batch never crosses the end of the epochs' examples unless further epochs are wanted
    // anyway.
    const bool bounded = !train.has_steps() && !train.has_tokens() && position < by_epochs;
    std::int64_t tokens = 0;
    std::int64_t count = 0;
    std::int64_t micro_tokens = 0;
    std::int64_t micro_segments = 0;
    std::int64_t micro_batches = 1;
    while (!(bounded && position + count >= by_epochs)) {
      if (!streams_.empty() && std::ssize(turns_) <= position + count) {
        deal_turns(2 * (position + count) + 64);
      }
      const ExampleView example = dataset[example_at(position + count)];
      const auto length = static_cast<std::int64_t>(example.tokens.size());
      if (batch_examples > 0 ? count >= batch_examples
                             : (count > 0 && tokens + length > batch_tokens)) {
        break;
      }
      if (micro_segments > 0 && micro_tokens + length > micro_batch_tokens_) {
        ++micro_batches;
        micro_tokens = 0;
        micro_segments = 0;
      }
      micro_tokens += length;
      micro_segments += example.second > 0 ? 2 : 1;
      max_micro_tokens_ = std::max(max_micro_tokens_, micro_tokens);
      max_micro_segments_ = std::max(max_micro_segments_, micro_segments);
      tokens += length;
      num_labels_ += example.num_labels();
      ++count;
    }
    max_micro_batches_ = std::max(max_micro_batches_, micro_batches);
    num_tokens_ += tokens;
    position += count;
    first_.push_back(position);
  }
  // A batch that ends where the budget does may have been cut there.
  const std::int64_t end = std::min({budget_, by_epochs, first_repeat_});
  num_common_steps_ = std::lower_bound(first_.begin() + 1, first_.end(), end) - first_.begin() - 1;
}

StepTotals TrainLoader::totals(std::int64_t begin, std::int64_t end,
                               const std::function<double(std::int64_t length)>& of_length) const {
  StepTotals totals;
  for (std::int64_t position = first_[static_cast<std::size_t>(begin)];
       position < first_[static_cast<std::size_t>(end)]; ++position) {
    const ExampleView example = (*dataset_)[example_at(position)];
    const auto length = static_cast<std::int64_t>(example.tokens.size());
    totals.tokens += length;
    totals.labels += example.num_labels();
    totals.sum += of_length(length);
  }
  return totals;
}

double TrainLoader::sum(const std::function<double(std::int64_t length)>& of_length) const {
  double total = 0;
  for (std::int64_t position = 0; position < first_.back(); ++position) {
    const ExampleView example = (*dataset_)[example_at(position)];
    const std::int64_t first = example.second > 0 ? example.second : tokens_of(example);
    total += of_length(first);
    total += example.second > 0 ? of_length(tokens_of(example) - first) : 0;
  }
  return total;
}

void TrainLoader::fill(std::int64_t step, GlobalBatch& batch) const {
  batch.num_tokens = 0;
  batch.num_labels = 0;
  batch.num_pairs = 0;
  batch.label_weight = 0;
  batch.pair_weight = 0;
  batch.num_examples =
      first_[static_cast<std::size_t>(step) + 1] - first_[static_cast<std::size_t>(step)];
  std::size_t used = 0;
  const auto next = [&]() -> MicroBatch& {
    if (used == batch.micro_batches.size()) {
      batch.micro_batches.emplace_back();
    }
    clear(batch.micro_batches[used]);
    return batch.micro_batches[used++];
  };
  MicroBatch* micro = &next();
  for (std::int64_t position = first_[static_cast<std::size_t>(step)];
       position < first_[static_cast<std::size_t>(step) + 1]; ++position) {
    const std::int64_t index = example_at(position);
    const ExampleView example = (*dataset_)[index];
    const auto length = static_cast<std::int64_t>(example.tokens.size());
    if (micro->num_tokens() > 0 && micro->num_tokens() + length > micro_batch_tokens_) {
      micro = &next();
    }
    append_example(example, index, *micro);
    if (is_weighted_) {
      micro->weights.resize(micro->examples.size(), example.loss_weight);
    }
    batch.label_weight += example.loss_weight * static_cast<double>(example.num_labels());
    batch.pair_weight += example.second > 0 ? example.loss_weight : 0;
    batch.num_tokens += length;
    batch.num_labels += example.num_labels();
    batch.num_pairs += example.second > 0 ? 1 : 0;
  }
  batch.micro_batches.resize(used);
}

std::vector<std::int64_t> TrainLoader::examples() const {
  std::vector<std::int64_t> all;
  if (streams_.empty()) {
    for (std::int64_t position = 0; position < std::min(budget_, first_.back()); ++position) {
      all.push_back(example_at(position));
    }
    return all;
  }
  std::set<std::int64_t> seen;
  for (std::int64_t position = 0; position < first_.back(); ++position) {
    if (const std::int64_t example = example_at(position); seen.insert(example).second) {
      all.push_back(example);
    }
  }
  return all;
}

namespace {

// Examples in order, of which `append` adds `length(example)` tokens.
template <class Examples, class Length, class Append>
std::vector<MicroBatch> batches_of(const Examples& examples, std::int64_t micro_batch_tokens,
                                   const Length& length, const Append& append) {
  std::vector<MicroBatch> batches(1);
  for (const std::int64_t index : examples) {
    const std::int64_t tokens = length(index);
    if (batches.back().num_tokens() > 0 &&
        batches.back().num_tokens() + tokens > micro_batch_tokens) {
      batches.emplace_back();
    }
    append(index, batches.back());
  }
  return batches;
}

}  // namespace

std::vector<MicroBatch> evaluation_batches(const Dataset& dataset,
                                           std::int64_t micro_batch_tokens) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(dataset.size()));
  std::iota(all.begin(), all.end(), 0);
  const auto end_of = [&](std::int64_t index) {  // of a preference the chosen answer's
    const ExampleView example = dataset[index];
    return example.second > 0 ? example.second : tokens_of(example);
  };
  return batches_of(all, micro_batch_tokens, end_of, [&](std::int64_t index, MicroBatch& batch) {
    append_segment(dataset[index], 0, end_of(index), index, batch);
  });
}

std::vector<MicroBatch> pair_batches(const Dataset& dataset,
                                     const std::vector<std::int64_t>& examples,
                                     std::int64_t micro_batch_tokens) {
  return batches_of(
      examples, micro_batch_tokens,
      [&](std::int64_t index) { return std::int64_t{tokens_of(dataset[index])}; },
      [&](std::int64_t index, MicroBatch& batch) { append_example(dataset[index], index, batch); });
}

}  // namespace finescale
