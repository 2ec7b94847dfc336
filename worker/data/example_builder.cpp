// SPDX-License-Identifier: Apache-2.0
#include "worker/data/example_builder.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "worker/data/end_tokens.h"

namespace finescale {

namespace {

void append(const std::vector<std::int32_t>& ids, std::vector<std::int32_t>& tokens) {
  tokens.insert(tokens.end(), ids.begin(), ids.end());
}

}  // namespace

ExampleBuilder::ExampleBuilder(const config::DataRules& rules, const Tokenizer& tokenizer)
    : rules_(rules), tokenizer_(tokenizer) {}

Example ExampleBuilder::encode_messages(const RawExample& raw) {
  if (!knows_template_) {
    if (std::optional<ChatFormat> format = load_chat_format(rules_, tokenizer_)) {
      chat_.emplace(std::move(*format), tokenizer_);
    }
    knows_template_ = true;
  }
  Example example = chat_ ? chat_->encode(raw) : encode_plain_turns(raw, tokenizer_, turn_tokens());
  if (end_token_ < 0) {
    end_token_ = example.tokens[static_cast<std::size_t>(example.learnt.back().end) - 1];
  }
  return example;
}

const TurnTokens& ExampleBuilder::turn_tokens() {
  if (!turn_tokens_) {
    TurnTokens tokens;
    tokens.start = tokenizer_.start_tokens();
    const EndTokens ends = end_tokens(rules_, tokenizer_);
    tokens.response_end = ends.response;
    tokens.prompt_end = ends.prompt.value_or(tokens.prompt_end);
    turn_tokens_ = tokens;
  }
  return *turn_tokens_;
}

// Both sequences, one behind the other; the prompt is in each.
Example ExampleBuilder::encode_preference(const RawExample& raw) {
  RawExample single;
  single.form = ExampleForm::kPromptResponse;
  single.prompt = raw.prompt;
  single.response = raw.rejected;
  const Example rejected = encode(single);
  single.response = raw.response;
  Example example = encode(single);
  example.second = static_cast<std::int32_t>(example.tokens.size());
  append(rejected.tokens, example.tokens);
  example.learnt = {
      {example.num_prompt, example.second},
      {example.second + example.num_prompt, static_cast<std::int32_t>(example.tokens.size())}};
  return example;
}

Example ExampleBuilder::encode(const RawExample& raw) {
  Example example;
  switch (raw.form) {
    case ExampleForm::kMessages:
      return encode_messages(raw);
    case ExampleForm::kPromptResponse:
      example.tokens = turn_tokens().start;
      append(tokenizer_.encode_ordinary(raw.prompt), example.tokens);
      if (turn_tokens().prompt_end >= 0) {
        example.tokens.push_back(turn_tokens().prompt_end);
      }
      example.num_prompt = static_cast<std::int32_t>(example.tokens.size());
      break;
    case ExampleForm::kText:
      example.tokens = turn_tokens().start;
      break;
    case ExampleForm::kPreference:
      return encode_preference(raw);
  }
  append(tokenizer_.encode_ordinary(raw.response), example.tokens);
  example.tokens.push_back(turn_tokens().response_end);
  example.prompt = raw.prompt;
  example.response = raw.response;
  example.problem = raw.problem;
  end_token_ = end_token_ < 0 ? turn_tokens().response_end : end_token_;
  return example;
}

std::int64_t ExampleBuilder::longest(const Example& example) const {
  const auto all = static_cast<std::int64_t>(example.tokens.size());
  return std::max<std::int64_t>(example.second, all - example.second);
}

bool ExampleBuilder::shorten_pair(Example& example) const {
  const std::int32_t length = rules_.max_length();
  if (example.num_prompt >= length) {
    return false;
  }
  const std::int32_t all = static_cast<std::int32_t>(example.tokens.size());
  const std::int32_t chosen = std::min(example.second, length);
  const std::int32_t rejected = std::min(all - example.second, length);
  std::vector<std::int32_t> tokens(example.tokens.begin(), example.tokens.begin() + chosen);
  tokens.insert(tokens.end(), example.tokens.begin() + example.second,
                example.tokens.begin() + example.second + rejected);
  example.tokens = std::move(tokens);
  example.second = chosen;
  example.learnt = {{example.num_prompt, chosen}, {chosen + example.num_prompt, chosen + rejected}};
  return true;
}

// False: no target is left.
bool ExampleBuilder::shorten(Example& example) const {
  const std::int32_t length = rules_.max_length();
  if (example.num_prompt >= length && example.learnt.size() < 2) {
    return false;
  }
  example.tokens.resize(static_cast<std::size_t>(length));
  if (example.learnt.empty()) {
    return true;
  }
  while (!example.learnt.empty() && example.learnt.back().begin >= length) {
    example.learnt.pop_back();
  }
  if (example.learnt.empty()) {
    return false;
  }
  example.learnt.back().end = std::min(example.learnt.back().end, length);
  example.num_prompt = example.learnt.back().begin;
  return true;
}

std::optional<Example> ExampleBuilder::build(const RawExample& raw, const std::string& where,
                                             DatasetCounts& counts) {
  Example example;
  try {
    example = encode(raw);
  } catch (const Error& error) {  // known without the place: now with it
    throw Error(error.kind(), error.message(), error.where().empty() ? where : error.where(),
                error.hint());
  }
  example.stream = raw.stream;
  example.loss_weight = raw.loss_weight;
  ++counts.read;
  if (longest(example) <= rules_.max_length()) {
    return example;
  }
  switch (rules_.on_overlong()) {
    case config::ON_OVERLONG_ERROR:
      throw Error(ErrorKind::kData,
                  "example has " + std::to_string(longest(example)) +
                      " tokens, data.max_length is " + std::to_string(rules_.max_length()),
                  where,
                  "raise data.max_length, or set data.on_overlong to truncate or drop (both are "
                  "counted)");
    case config::ON_OVERLONG_DROP:
      break;
    case config::ON_OVERLONG_TRUNCATE:
      if (example.second > 0 ? shorten_pair(example) : shorten(example)) {
        ++counts.truncated;
        return example;
      }
      break;
  }
  ++counts.dropped;
  return std::nullopt;
}

}  // namespace finescale
