// SPDX-License-Identifier: Apache-2.0
// Texts of tokens and their ids, both ways. A text has one id (the last one given); ids may have
// holes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace finescale {

class TokenTable {
 public:
  void reserve(std::size_t num_tokens);
  void add(std::string_view text, std::int32_t id);

  [[nodiscard]] std::int32_t find(std::string_view text) const noexcept;  // -1: no such token
  [[nodiscard]] std::optional<std::string_view> text(std::int32_t id) const noexcept;
  [[nodiscard]] std::int32_t id_limit() const noexcept {  // one more than the highest id
    return static_cast<std::int32_t>(entry_of_id_.size());
  }
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  struct Entry {
    std::size_t begin;
    std::uint32_t length;
    std::int32_t id;
  };
  [[nodiscard]] std::string_view text_of(const Entry& entry) const noexcept {
    return std::string_view(texts_).substr(entry.begin, entry.length);
  }
  [[nodiscard]] std::size_t slot(std::string_view text) const noexcept;
  void grow(std::size_t num_slots);

  std::string texts_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_;        // open addressing; entry + 1, 0: free
  std::vector<std::uint32_t> entry_of_id_;  // entry + 1, 0: none
};

}  // namespace finescale
