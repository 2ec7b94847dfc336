// SPDX-License-Identifier: Apache-2.0
#include "sharding/ordered_reduce.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/error.h"
#include "core/gpu.h"
#include "sharding/tree_order.h"

namespace finescale {

namespace {

// Longest piece of a slice in one exchange, so that memory for what others send stays small.
constexpr std::int64_t kWindow = std::int64_t{1} << 18;

// What a call needs besides its arguments. Kept by each thread that calls, so that steps do not
// allocate.
struct Scratch {
  std::vector<std::byte> staging;  // [ranks - 1][window]
  std::vector<std::span<const std::byte>> send;
  std::vector<std::span<std::byte>> receive;
  std::vector<std::size_t> offsets;
  std::vector<TreeNode> stack;
};
Scratch& scratch() {
  thread_local Scratch mine;
  return mine;
}

// cut(r) is where rank r's elements begin; this rank's become their sums, in place.
template <class Cut>
void reduce_scatter(Group& group, const TensorView& full, const LeafMemory& where, Cut&& cut) {
  const int ranks = group.size();
  const int me = group.rank();
  const std::size_t element = dtype_size(full.dtype);
  const auto at = [&](void* data, std::int64_t index) {
    return static_cast<std::byte*>(data) + static_cast<std::size_t>(index) * element;
  };
  std::int64_t longest = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    longest = std::max(longest, cut(rank + 1) - cut(rank));
  }
  Scratch& s = scratch();
  const std::int64_t window = std::min(longest, kWindow);
  const std::size_t staging_bytes = static_cast<std::size_t>((ranks - 1) * window) * element;
  std::optional<GpuScratch> on_gpu;
  if (where.stream.on_gpu()) {
    on_gpu.emplace(*where.stream.gpu(), staging_bytes);
  } else {
    s.staging.resize(std::max(s.staging.size(), staging_bytes));
  }
  void* const staging = on_gpu ? on_gpu->data() : s.staging.data();
  s.send.resize(static_cast<std::size_t>(ranks));
  s.receive.resize(static_cast<std::size_t>(ranks));
  for (std::int64_t begin = 0; begin < longest; begin += window) {
    const auto length = [&](int rank) {
      return std::clamp<std::int64_t>(cut(rank + 1) - cut(rank) - begin, 0, window);
    };
    const std::int64_t mine = length(me);
    const auto staged = [&](std::int64_t rank) {
      return at(staging, (rank < me ? rank : rank - 1) * window);
    };
    for (int rank = 0; rank < ranks; ++rank) {
      const auto peer = static_cast<std::size_t>(rank);
      s.send[peer] = {};
      s.receive[peer] = {};
      if (rank != me) {
        s.send[peer] = {at(full.data, cut(rank) + begin),
                        static_cast<std::size_t>(length(rank)) * element};
        s.receive[peer] = {staged(rank), static_cast<std::size_t>(mine) * element};
      }
    }
    group.all_to_all(s.send, s.receive);
    std::byte* const sum = at(full.data, cut(me) + begin);
    const auto address = [&](std::int64_t rank) { return rank == me ? sum : staged(rank); };
    int additions = 1;
    s.stack.clear();
    for (int rank = 0; rank < ranks; ++rank) {
      push_node(s.stack, {0, rank, rank}, ranks, [&](std::int64_t left, std::int64_t right) {
        std::byte* const target = ++additions == ranks ? sum : address(left);
        add_elements(where, target, address(left), address(right), mine, full.dtype);
      });
    }
  }
}

template <class Cut>
void all_gather(Group& group, const TensorView& full, Cut&& cut) {
  Scratch& s = scratch();
  s.offsets.clear();
  for (int rank = 0; rank <= group.size(); ++rank) {
    s.offsets.push_back(static_cast<std::size_t>(cut(rank)) * dtype_size(full.dtype));
  }
  const auto me = static_cast<std::size_t>(group.rank());
  group.all_gather({full.as<std::byte>() + s.offsets[me], s.offsets[me + 1] - s.offsets[me]},
                   {full.as<std::byte>(), full.size_bytes()}, s.offsets);
}

}  // namespace

void ordered_all_reduce(Group& group, const TensorView& x, const LeafMemory& where) {
  FS_CHECK(x.is_dense(), "the sum of a dense tensor");
  if (group.size() == 1) {
    return;
  }
  constexpr std::int64_t kAlignment = 16;  // elements: slices begin on cache lines
  const std::int64_t count = x.num_elements();
  const auto cut = [&](int rank) {
    return rank == group.size() ? count : count * rank / group.size() / kAlignment * kAlignment;
  };
  reduce_scatter(group, x, where, cut);
  all_gather(group, x, cut);
}

void exact_all_reduce(Group& group, ExactSum& total) {
  if (group.size() == 1) {
    return;
  }
  const ExactSum::Words mine = total.words();
  std::vector<ExactSum::Words> all(static_cast<std::size_t>(group.size()));
  std::vector<std::size_t> offsets;
  for (std::size_t rank = 0; rank <= all.size(); ++rank) {
    offsets.push_back(rank * sizeof(ExactSum::Words));
  }
  group.all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)), offsets);
  ExactSum sum;
  for (const ExactSum::Words& words : all) {
    sum.merge(ExactSum::from_words(words));
  }
  total = sum;
}

}  // namespace finescale
