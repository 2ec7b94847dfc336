// SPDX-License-Identifier: Apache-2.0
#include "worker/data/example_table.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

void append(std::vector<std::byte>& payload, const void* data, std::size_t size_bytes) {
  const auto* const begin = static_cast<const std::byte*>(data);
  payload.insert(payload.end(), begin, begin + size_bytes);
}

}  // namespace

ExampleRecord append_payload(const Example& example, std::vector<std::byte>& payload) {
  const auto length = static_cast<std::int32_t>(example.tokens.size());
  if (std::max({example.prompt.size(), example.response.size(), example.problem.size()}) >
      UINT32_MAX) {
    throw Error(ErrorKind::kData, "an example has a text of more than 4 GiB");
  }
  std::vector<LabelRange> learnt = example.learnt;
  if (learnt.empty()) {
    learnt.push_back({example.num_prompt, length});
  }
  for (LabelRange& range : learnt) {
    const std::int32_t sequence = range.begin < example.second ? 0 : example.second;
    range.begin = std::max(range.begin, sequence + 1);
  }
  std::erase_if(learnt, [](const LabelRange& range) { return range.begin >= range.end; });
  ExampleRecord record;
  record.offset = payload.size();
  record.num_tokens = static_cast<std::uint32_t>(length);
  record.num_ranges = static_cast<std::uint32_t>(learnt.size());
  record.num_prompt = static_cast<std::uint32_t>(example.num_prompt);
  record.second = static_cast<std::uint32_t>(example.second);
  record.prompt_bytes = static_cast<std::uint32_t>(example.prompt.size());
  record.response_bytes = static_cast<std::uint32_t>(example.response.size());
  record.stream = static_cast<std::uint32_t>(example.stream);
  record.loss_weight = example.loss_weight;
  record.problem_bytes = static_cast<std::uint32_t>(example.problem.size());
  append(payload, example.tokens.data(), example.tokens.size() * sizeof(std::int32_t));
  append(payload, learnt.data(), learnt.size() * sizeof(LabelRange));
  append(payload, example.prompt.data(), example.prompt.size());
  append(payload, example.response.data(), example.response.size());
  append(payload, example.problem.data(), example.problem.size());
  payload.resize(record.offset + record.size_bytes());
  return record;
}

ExampleTable::ExampleTable(MappedFile file, std::span<const std::byte> payload,
                           std::span<const ExampleRecord> records)
    : file_(std::move(file)), mapped_payload_(payload), mapped_records_(records) {}

void ExampleTable::add(const Example& example) {
  own_records_.push_back(append_payload(example, own_payload_));
}

ExampleView ExampleTable::operator[](std::int64_t index) const {
  const ExampleRecord& record = records()[static_cast<std::size_t>(index)];
  const std::byte* at =
      (file_.bytes().empty() ? own_payload_.data() : mapped_payload_.data()) + record.offset;
  const auto take = [&at](std::size_t size_bytes) {
    const std::byte* const begin = at;
    at += size_bytes;
    return begin;
  };
  ExampleView view;
  // Payloads are padded, so both arrays are aligned to 4 bytes.
  view.tokens = {reinterpret_cast<const std::int32_t*>(take(4ULL * record.num_tokens)),
                 record.num_tokens};
  view.learnt = {reinterpret_cast<const LabelRange*>(take(8ULL * record.num_ranges)),
                 record.num_ranges};
  view.num_prompt = static_cast<std::int32_t>(record.num_prompt);
  view.stream = static_cast<std::int32_t>(record.stream);
  view.loss_weight = record.loss_weight;
  view.second = static_cast<std::int32_t>(record.second);
  view.prompt = {reinterpret_cast<const char*>(take(record.prompt_bytes)), record.prompt_bytes};
  view.response = {reinterpret_cast<const char*>(take(record.response_bytes)),
                   record.response_bytes};
  view.problem = {reinterpret_cast<const char*>(take(record.problem_bytes)), record.problem_bytes};
  return view;
}

std::size_t ExampleTable::memory_bytes() const noexcept {
  return own_payload_.capacity() + own_records_.capacity() * sizeof(ExampleRecord);
}

}  // namespace finescale
