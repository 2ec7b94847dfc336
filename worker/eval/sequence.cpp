// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/sequence.h"

#include <algorithm>

namespace finescale {

Sequence::Sequence(std::size_t index, const std::vector<std::int32_t>& prompt,
                   const GenerationOptions& options, std::int64_t positions,
                   std::int64_t vocab_size, const Tokenizer* tokenizer)
    : index_(index),
      options_(&options),
      positions_(positions),
      tokens_(prompt),
      sampler_(options.sampling),
      stops_(options.stop_strings) {
  if (tokenizer != nullptr) {
    text_.emplace(*tokenizer);
  }
  if (options.sampling.repetition_penalty != 1) {
    is_seen_.resize(static_cast<std::size_t>(vocab_size));
    for (const std::int32_t token : prompt) {
      see(token);
    }
  }
  const auto room =
      static_cast<std::size_t>(std::min(options.max_new, std::max<std::int64_t>(0, positions)));
  tokens_.reserve(prompt.size() + room);
  answer_.tokens.reserve(room);
  if (static_cast<std::int64_t>(prompt.size()) > positions) {
    (void)end(FinishReason::kPositions);
  } else if (options.max_new <= 0) {
    (void)end(FinishReason::kMaxNew);
  }
}

void Sequence::see(std::int32_t token) {
  if (!is_seen_.empty() && !is_seen_[static_cast<std::size_t>(token)]) {
    is_seen_[static_cast<std::size_t>(token)] = true;
    seen_.push_back(token);
  }
}

double Sequence::uniform() const {
  return options_->sampling.is_greedy()
             ? 0
             : sampling_uniform(options_->seed,
                                options_->indexes.empty() ? options_->first_index + index_
                                                          : options_->indexes[index_],
                                answer_.tokens.size());
}

std::int32_t Sequence::pick(const TensorView& logits) {
  return sampler_.choose(logits, seen_, uniform());
}

std::string Sequence::show(std::string text) {
  answer_.text += text;
  return text;
}

std::string Sequence::end(FinishReason reason) {
  finished_ = reason;
  answer_.reason = reason;
  std::string rest;
  if (text_ && reason != FinishReason::kStopString) {
    rest = stops_.feed(text_->finish());
    if (stops_.stopped()) {
      answer_.reason = FinishReason::kStopString;
    } else {
      rest += stops_.finish();
    }
  }
  return show(std::move(rest));
}

std::string Sequence::take(std::int32_t token) {
  const std::vector<std::int32_t>& stop = options_->stop_tokens;
  if (std::find(stop.begin(), stop.end(), token) != stop.end()) {
    return end(FinishReason::kStopToken);
  }
  tokens_.push_back(token);
  answer_.tokens.push_back(token);
  see(token);
  std::string text;
  if (text_) {
    text = show(stops_.feed(text_->push(token)));
    if (stops_.stopped()) {
      return text + end(FinishReason::kStopString);
    }
  }
  if (static_cast<std::int64_t>(answer_.tokens.size()) >= options_->max_new) {
    return text + end(FinishReason::kMaxNew);
  }
  if (static_cast<std::int64_t>(tokens_.size()) > positions_) {
    return text + end(FinishReason::kPositions);
  }
  return text;
}

}  // namespace finescale
