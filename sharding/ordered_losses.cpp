// SPDX-License-Identifier: Apache-2.0
#include "sharding/ordered_losses.h"

#include <utility>
#include <vector>

#include "core/error.h"
#include "sharding/tree_order.h"

namespace finescale {

namespace {

struct Entry {
  std::int64_t index = -1;
  double value = 0;
};

}  // namespace

double ordered_sum_of(Group& group, std::int64_t num_micro_batches, std::int64_t slots,
                      std::span<const std::int64_t> indices, std::span<const double> values) {
  FS_CHECK(indices.size() == values.size() && std::ssize(indices) <= slots,
           "more values than were announced");
  const auto size = static_cast<std::size_t>(group.size());
  const auto width = static_cast<std::size_t>(slots);
  std::vector<Entry> all(size * width);
  const auto mine = std::span(all).subspan(static_cast<std::size_t>(group.rank()) * width, width);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    mine[i] = {indices[i], values[i]};
  }
  if (size > 1) {
    std::vector<std::size_t> offsets;
    for (std::size_t rank = 0; rank <= size; ++rank) {
      offsets.push_back(rank * width * sizeof(Entry));
    }
    group.all_gather(std::as_bytes(mine), std::as_writable_bytes(std::span(all)), offsets);
  }
  std::vector<double> sums(static_cast<std::size_t>(num_micro_batches));
  for (const Entry& entry : all) {
    if (entry.index >= 0) {
      sums[static_cast<std::size_t>(entry.index)] = entry.value;
    }
  }
  std::vector<TreeNode> stack;
  for (std::int64_t leaf = 0; leaf < num_micro_batches; ++leaf) {
    push_node(stack, {0, leaf, leaf}, num_micro_batches,
              [&](std::int64_t left, std::int64_t right) {
                sums[static_cast<std::size_t>(left)] += sums[static_cast<std::size_t>(right)];
              });
  }
  return num_micro_batches == 0 ? 0.0 : sums[0];
}

}  // namespace finescale
