// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/token_table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

namespace finescale {

void TokenTable::reserve(std::size_t num_tokens) {
  entries_.reserve(num_tokens);
  std::size_t num_slots = 16;
  while (num_slots < num_tokens * 2) {
    num_slots *= 2;
  }
  if (num_slots > slots_.size()) {
    grow(num_slots);
  }
}

std::size_t TokenTable::slot(std::string_view text) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = XXH3_64bits(text.data(), text.size()) & mask;
  while (slots_[at] != 0 && text_of(entries_[slots_[at] - 1]) != text) {
    at = (at + 1) & mask;
  }
  return at;
}

void TokenTable::grow(std::size_t num_slots) {
  slots_.assign(num_slots, 0);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    slots_[slot(text_of(entries_[i]))] = static_cast<std::uint32_t>(i + 1);
  }
}

void TokenTable::add(std::string_view text, std::int32_t id) {
  if ((entries_.size() + 1) * 2 > slots_.size()) {
    grow(std::max<std::size_t>(16, slots_.size() * 2));
  }
  const std::size_t at = slot(text);
  if (slots_[at] == 0) {
    entries_.push_back({texts_.size(), static_cast<std::uint32_t>(text.size()), id});
    texts_ += text;
    slots_[at] = static_cast<std::uint32_t>(entries_.size());
  } else {
    entries_[slots_[at] - 1].id = id;
  }
  const auto index = static_cast<std::size_t>(id);
  if (index >= entry_of_id_.size()) {
    entry_of_id_.resize(index + 1, 0);
  }
  entry_of_id_[index] = slots_[at];
}

std::int32_t TokenTable::find(std::string_view text) const noexcept {
  if (slots_.empty()) {
    return -1;
  }
  const std::uint32_t entry = slots_[slot(text)];
  return entry == 0 ? -1 : entries_[entry - 1].id;
}

std::optional<std::string_view> TokenTable::text(std::int32_t id) const noexcept {
  if (id < 0 || static_cast<std::size_t>(id) >= entry_of_id_.size() ||
      entry_of_id_[static_cast<std::size_t>(id)] == 0) {
    return std::nullopt;
  }
  return text_of(entries_[entry_of_id_[static_cast<std::size_t>(id)] - 1]);
}

}  // namespace finescale
