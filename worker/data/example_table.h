// SPDX-License-Identifier: Apache-2.0
// Tokenised examples side by side: one payload and an index, in memory or in a mapped file. Reading
// an example allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/mapped_file.h"
#include "worker/data/example.h"

namespace finescale {

// Payload of an example: tokens, label ranges, prompt, response, problem; padded to 4 bytes.
struct ExampleRecord {
  std::uint64_t offset = 0;  // bytes into the payload
  std::uint32_t num_tokens = 0;
  std::uint32_t num_ranges = 0;
  std::uint32_t num_prompt = 0;
  std::uint32_t prompt_bytes = 0;
  std::uint32_t response_bytes = 0;
  std::uint32_t second = 0;  // token; of a preference
  std::uint32_t problem_bytes = 0;
  std::uint32_t stream = 0;
  double loss_weight = 1;
  [[nodiscard]] std::uint64_t size_bytes() const noexcept {
    const std::uint64_t texts = std::uint64_t{prompt_bytes} + response_bytes + problem_bytes;
    return (4ULL * num_tokens + 8ULL * num_ranges + texts + 3) / 4 * 4;
  }
};
static_assert(sizeof(ExampleRecord) == 48 && sizeof(LabelRange) == 8);

// The bytes of an example as a record says; label ranges that are left out are filled in.
[[nodiscard]] ExampleRecord append_payload(const Example& example, std::vector<std::byte>& payload);

class ExampleTable {
 public:
  ExampleTable() = default;
  void add(const Example& example);  // of a table in memory
  // A table inside a mapped file, which it keeps.
  ExampleTable(MappedFile file, std::span<const std::byte> payload,
               std::span<const ExampleRecord> records);

  [[nodiscard]] std::int64_t size() const noexcept {
    return static_cast<std::int64_t>(records().size());
  }
  [[nodiscard]] ExampleView operator[](std::int64_t index) const;
  [[nodiscard]] std::size_t memory_bytes() const noexcept;  // without what is mapped

 private:
  [[nodiscard]] std::span<const ExampleRecord> records() const noexcept {
    return file_.bytes().empty() ? std::span<const ExampleRecord>(own_records_) : mapped_records_;
  }
  std::vector<std::byte> own_payload_;
  std::vector<ExampleRecord> own_records_;
  MappedFile file_;
  std::span<const std::byte> mapped_payload_;
  std::span<const ExampleRecord> mapped_records_;
};

}  // namespace finescale
