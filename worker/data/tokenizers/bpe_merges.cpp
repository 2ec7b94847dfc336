// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/bpe_merges.h"

#include <algorithm>
#include <array>
#include <functional>

namespace finescale {

namespace {

// Up to here looking over all pairs for each merge is faster than a heap (measured on words).
constexpr std::size_t kShort = 32;

std::uint64_t pair_of(std::int32_t left, std::int32_t right) noexcept {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
         static_cast<std::uint32_t>(right);
}

std::size_t hash(std::uint64_t pair) noexcept {
  constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15U;
  const std::uint64_t mixed = (pair ^ (pair >> 29)) * kGolden;
  return static_cast<std::size_t>(mixed ^ (mixed >> 32));
}

}  // namespace

BpeMerges::BpeMerges(std::vector<BpeMerge> merges) : merges_(std::move(merges)) {
  std::size_t num_slots = 16;
  while (num_slots < merges_.size() * 2) {
    num_slots *= 2;
  }
  slots_.resize(num_slots);
  for (std::size_t i = 0; i < merges_.size(); ++i) {
    const std::uint64_t pair = pair_of(merges_[i].left, merges_[i].right);
    std::size_t at = hash(pair) & (num_slots - 1);
    while (slots_[at].pair != kFree && slots_[at].pair != pair) {
      at = (at + 1) & (num_slots - 1);
    }
    slots_[at] = {pair, static_cast<std::int32_t>(i)};
  }
}

std::int32_t BpeMerges::rank(std::int32_t left, std::int32_t right) const noexcept {
  const std::uint64_t pair = pair_of(left, right);
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash(pair) & mask;
  while (slots_[at].pair != pair) {
    if (slots_[at].pair == kFree) {
      return kNone;
    }
    at = (at + 1) & mask;
  }
  return slots_[at].rank;
}

void BpeMerges::apply(std::vector<std::int32_t>& symbols) const {
  if (symbols.size() < 2 || merges_.empty()) {
    return;
  }
  if (symbols.size() <= kShort) {
    apply_short(symbols);
  } else {
    apply_long(symbols);
  }
}

void BpeMerges::apply_short(std::vector<std::int32_t>& symbols) const {
  std::array<std::int32_t, kShort> ranks;  // of symbols i, i + 1
  std::size_t count = symbols.size();
  for (std::size_t i = 0; i + 1 < count; ++i) {
    ranks[i] = rank(symbols[i], symbols[i + 1]);
  }
  while (count > 1) {
    const auto best =
        std::min_element(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(count - 1));
    if (*best == kNone) {
      break;
    }
    const auto at = static_cast<std::size_t>(best - ranks.begin());
    symbols[at] = merges_[static_cast<std::size_t>(*best)].result;
    for (std::size_t i = at + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i - 1] = ranks[i];  // the pair that began at at + 1 is made anew below
    }
    --count;
    if (at + 1 < count) {
      ranks[at] = rank(symbols[at], symbols[at + 1]);
    }
    if (at > 0) {
      ranks[at - 1] = rank(symbols[at - 1], symbols[at]);
    }
  }
  symbols.resize(count);
}

namespace {

// A doubly linked list over the symbols; merged-away positions are marked by next == kGone.
struct Link {
  std::int32_t previous;
  std::int32_t next;
};
constexpr std::int32_t kEnd = -1;
constexpr std::int32_t kGone = -2;

}  // namespace

void BpeMerges::apply_long(std::vector<std::int32_t>& symbols) const {
  const auto count = static_cast<std::int32_t>(symbols.size());
  std::vector<Link> links(symbols.size());
  // Rank above position, so that the order of numbers is the order of merges.
  std::vector<std::uint64_t> heap;
  heap.reserve(symbols.size());
  const auto symbol = [&](std::int32_t i) -> std::int32_t& {
    return symbols[static_cast<std::size_t>(i)];
  };
  const auto link = [&](std::int32_t i) -> Link& { return links[static_cast<std::size_t>(i)]; };
  const auto offer = [&](std::int32_t position) {
    const std::int32_t next = link(position).next;
    const std::int32_t found = next < 0 ? kNone : rank(symbol(position), symbol(next));
    if (found != kNone) {
      heap.push_back((static_cast<std::uint64_t>(found) << 32) |
                     static_cast<std::uint32_t>(position));
    }
    return found != kNone;
  };
  for (std::int32_t i = 0; i < count; ++i) {
    link(i) = {i - 1, i + 1 < count ? i + 1 : kEnd};
  }
  for (std::int32_t i = 0; i + 1 < count; ++i) {
    offer(i);
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto position = static_cast<std::int32_t>(heap.back() & 0xFFFFFFFFU);
    const BpeMerge& merge = merges_[static_cast<std::size_t>(heap.back() >> 32)];
    heap.pop_back();
    Link& left = link(position);
    // An entry is stale when either symbol has been merged since.
    if (left.next < 0 || symbol(position) != merge.left || symbol(left.next) != merge.right) {
      continue;
    }
    Link& right = link(left.next);
    symbol(position) = merge.result;
    left.next = right.next;
    if (right.next >= 0) {
      link(right.next).previous = position;
    }
    right.next = kGone;
    if (left.previous >= 0 && offer(left.previous)) {
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
    if (offer(position)) {
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
  }
  std::size_t out = 0;
  for (std::int32_t i = 0; i >= 0; i = link(i).next) {
    symbols[out++] = symbol(i);
  }
  symbols.resize(out);
}

}  // namespace finescale
