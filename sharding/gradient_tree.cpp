// SPDX-License-Identifier: Apache-2.0
#include "sharding/gradient_tree.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/arena.h"
#include "core/error.h"
#include "sharding/gradient_add.h"
#include "sharding/tree_order.h"

namespace finescale {

namespace {

// Elements of a slice exchanged in one round: bounds the staging memory (1 MiB of f32 per foreign
// node) and is long enough for full bandwidth between processes.
constexpr std::int64_t kRoundElements = std::int64_t{1} << 18;
constexpr std::int64_t kSliceAlignment = 16;  // elements: slices start on cache lines

std::int64_t slice_begin(std::int64_t num_elements, int rank, int size) {
  const std::int64_t cut = num_elements * rank / size;
  return rank == size ? num_elements : cut / kSliceAlignment * kSliceAlignment;
}

}  // namespace

struct GradientTree::Impl {
  Group& group;
  std::int64_t num_elements;
  DType dtype;
  std::int64_t max_micro_batches;
  TreeNeeds needs;
  std::int64_t round_elements = 0;
  Arena arena;
  std::vector<TensorView> buffers;  // [own_buffers][num_elements]; the first one gets the result
  TensorView staging;               // [foreign_nodes][round_elements]

  std::int64_t num_micro_batches = -1;
  MicroBatchRange range;
  std::vector<std::vector<TreeNode>>
      nodes_of_rank;  // what each rank holds when its leaves are done
  std::size_t max_nodes_of_rank = 0;
  std::int64_t next = 0;  // micro-batch of the next leaf
  bool leaf_is_open = false;
  std::vector<TreeNode> stack;     // of this rank; slot = index into buffers
  std::vector<std::int64_t> free;  // buffers, last one is taken next
  std::vector<TreeNode> merge_stack;
  std::vector<void*> places;
  std::vector<std::span<const std::byte>> send;
  std::vector<std::span<std::byte>> receive;

  Impl(Group& data_group, std::int64_t elements, DType type, std::int64_t max_batches);
  void plan(std::int64_t count);
  void exchange_round(std::int64_t round);
  void merge_round(std::int64_t round);
  [[nodiscard]] std::byte* at(void* data, std::int64_t element) const {
    return static_cast<std::byte*>(data) + element * static_cast<std::int64_t>(dtype_size(dtype));
  }
  // The elements of the slice of `rank` that belong to this round.
  struct Window {
    std::int64_t begin = 0;
    std::int64_t count = 0;
  };
  [[nodiscard]] Window window(int rank, std::int64_t round) const {
    const std::int64_t end = slice_begin(num_elements, rank + 1, group.size());
    const std::int64_t begin =
        std::min(end, slice_begin(num_elements, rank, group.size()) + round * round_elements);
    return {begin, std::min(round_elements, end - begin)};
  }
};

GradientTree::Impl::Impl(Group& data_group, std::int64_t elements, DType type,
                         std::int64_t max_batches)
    : group(data_group),
      num_elements(elements),
      dtype(type),
      max_micro_batches(max_batches),
      needs(tree_needs(max_batches, data_group.rank(), data_group.size())) {
  FS_CHECK(type == DType::kF32 || type == DType::kF64, "gradients are f32 or f64");
  FS_CHECK(elements > 0 && max_batches > 0, "nothing to sum");
  std::int64_t longest = 0;
  for (int rank = 0; rank < group.size(); ++rank) {
    longest = std::max(longest, slice_begin(elements, rank + 1, group.size()) -
                                    slice_begin(elements, rank, group.size()));
  }
  round_elements = std::max<std::int64_t>(1, std::min(longest, kRoundElements));
  const std::int64_t staged = needs.foreign_nodes * round_elements;
  const auto padded = [&](std::int64_t count) {
    return (static_cast<std::size_t>(count) * dtype_size(dtype) + 63) / 64 * 64;
  };
  arena.reserve(static_cast<std::size_t>(needs.own_buffers) * padded(num_elements) +
                padded(staged) + 64);
  for (std::int64_t i = 0; i < needs.own_buffers; ++i) {
    buffers.push_back(arena.allocate(dtype, Shape{num_elements}));
  }
  if (staged > 0) {
    staging = arena.allocate(dtype, Shape{staged});
  }
  const auto size = static_cast<std::size_t>(group.size());
  nodes_of_rank.resize(size);
  send.resize(size);
  receive.resize(size);
}

void GradientTree::Impl::plan(std::int64_t count) {
  num_micro_batches = count;
  range = micro_batches_of(count, group.rank(), group.size());
  max_nodes_of_rank = 0;
  std::int64_t staged = 0;
  for (int rank = 0; rank < group.size(); ++rank) {
    auto& nodes = nodes_of_rank[static_cast<std::size_t>(rank)];
    nodes = partial_nodes(micro_batches_of(count, rank, group.size()), count);
    max_nodes_of_rank = std::max(max_nodes_of_rank, nodes.size());
    for (TreeNode& node : nodes) {
      node.slot = rank == group.rank() ? -1 : staged++;
    }
  }
  FS_CHECK(staged <= needs.foreign_nodes, "staging memory is too small");
}

// Each rank receives, for its own slice, the nodes of every other rank: the k-th node of each in
// the k-th exchange. Collective over the data group.
void GradientTree::Impl::exchange_round(std::int64_t round) {
  const auto me = static_cast<std::size_t>(group.rank());
  const Window mine = window(group.rank(), round);
  for (std::size_t k = 0; k < max_nodes_of_rank; ++k) {
    for (std::size_t rank = 0; rank < nodes_of_rank.size(); ++rank) {
      send[rank] = {};
      receive[rank] = {};
      if (rank == me) {
        continue;
      }
      if (k < stack.size()) {
        const Window theirs = window(static_cast<int>(rank), round);
        send[rank] = {at(buffers[static_cast<std::size_t>(stack[k].slot)].data, theirs.begin),
                      static_cast<std::size_t>(theirs.count) * dtype_size(dtype)};
      }
      if (k < nodes_of_rank[rank].size()) {
        receive[rank] = {at(staging.data, nodes_of_rank[rank][k].slot * round_elements),
                         static_cast<std::size_t>(mine.count) * dtype_size(dtype)};
      }
    }
    group.all_to_all(send, receive);
  }
}

// Finishes the tree for this rank's slice, in node order; the last sum is written to the result.
void GradientTree::Impl::merge_round(std::int64_t round) {
  const Window mine = window(group.rank(), round);
  if (mine.count == 0) {
    return;
  }
  places.clear();
  merge_stack.clear();
  for (std::size_t rank = 0; rank < nodes_of_rank.size(); ++rank) {
    const bool own = std::cmp_equal(rank, group.rank());
    for (std::size_t k = 0; k < nodes_of_rank[rank].size(); ++k) {
      places.push_back(own ? at(buffers[static_cast<std::size_t>(stack[k].slot)].data, mine.begin)
                           : at(staging.data, nodes_of_rank[rank][k].slot * round_elements));
    }
  }
  void* const result = at(buffers[0].data, mine.begin);
  auto merges_left = std::ssize(places) - 1;
  if (merges_left == 0 && places[0] != result) {
    copy_elements(result, places[0], mine.count, dtype);
  }
  std::int64_t place = 0;
  for (const auto& nodes : nodes_of_rank) {
    for (TreeNode node : nodes) {
      node.slot = place++;
      push_node(merge_stack, node, num_micro_batches, [&](std::int64_t left, std::int64_t right) {
        void*& sum = places[static_cast<std::size_t>(left)];
        void* const out = --merges_left == 0 ? result : sum;
        add_elements(out, sum, places[static_cast<std::size_t>(right)], mine.count, dtype);
        sum = out;
      });
    }
  }
  FS_CHECK(merge_stack.size() == 1, "the tree has one root");
}

GradientTree::GradientTree(Group& data_group, std::int64_t num_elements, DType dtype,
                           std::int64_t max_micro_batches)
    : impl_(std::make_unique<Impl>(data_group, num_elements, dtype, max_micro_batches)) {}

GradientTree::~GradientTree() = default;

void GradientTree::begin(std::int64_t num_micro_batches) {
  Impl& tree = *impl_;
  FS_CHECK(num_micro_batches > 0 && num_micro_batches <= tree.max_micro_batches,
           std::to_string(num_micro_batches) + " micro-batches");
  if (num_micro_batches != tree.num_micro_batches) {
    tree.plan(num_micro_batches);
  }
  tree.next = tree.range.begin;
  tree.leaf_is_open = false;
  tree.stack.clear();
  tree.free.clear();
  for (std::int64_t buffer = std::ssize(tree.buffers) - 1; buffer >= 0; --buffer) {
    tree.free.push_back(buffer);  // the first leaf takes buffer 0, and the leftmost sum stays in it
  }
}

TensorView GradientTree::next_leaf(const Stream& stream) {
  Impl& tree = *impl_;
  FS_CHECK(stream.type() == DeviceType::kCpu, "this tree sums in host memory");
  FS_CHECK(!tree.leaf_is_open && tree.next < tree.range.end, "no leaf is due");
  tree.leaf_is_open = true;
  const TensorView leaf = tree.buffers[static_cast<std::size_t>(tree.free.back())];
  clear_elements(leaf.data, tree.num_elements, tree.dtype);
  return leaf;
}

void GradientTree::finish_leaf(const Stream& /*stream*/) {
  Impl& tree = *impl_;
  FS_CHECK(tree.leaf_is_open, "no leaf is open");
  tree.leaf_is_open = false;
  const std::int64_t buffer = tree.free.back();
  tree.free.pop_back();
  push_node(tree.stack, {0, tree.next++, buffer}, tree.num_micro_batches,
            [&](std::int64_t left, std::int64_t right) {
              void* const sum = tree.buffers[static_cast<std::size_t>(left)].data;
              add_elements(sum, sum, tree.buffers[static_cast<std::size_t>(right)].data,
                           tree.num_elements, tree.dtype);
              tree.free.push_back(right);
            });
}

TensorView GradientTree::reduce(const Stream& /*stream*/) {
  Impl& tree = *impl_;
  FS_CHECK(!tree.leaf_is_open && tree.next == tree.range.end, "leaves are missing");
  if (tree.group.size() == 1) {
    return tree.buffers[0];
  }
  std::int64_t rounds = 0;
  for (int rank = 0; rank < tree.group.size(); ++rank) {
    const std::int64_t count = slice_begin(tree.num_elements, rank + 1, tree.group.size()) -
                               slice_begin(tree.num_elements, rank, tree.group.size());
    rounds = std::max(rounds, (count + tree.round_elements - 1) / tree.round_elements);
  }
  for (std::int64_t round = 0; round < rounds; ++round) {
    tree.exchange_round(round);
    tree.merge_round(round);
  }
  std::vector<std::size_t> offsets;
  for (int rank = 0; rank <= tree.group.size(); ++rank) {
    offsets.push_back(
        static_cast<std::size_t>(slice_begin(tree.num_elements, rank, tree.group.size())) *
        dtype_size(tree.dtype));
  }
  auto* whole = tree.buffers[0].as<std::byte>();
  const auto me = static_cast<std::size_t>(tree.group.rank());
  tree.group.all_gather({whole + offsets[me], offsets[me + 1] - offsets[me]},
                        {whole, tree.buffers[0].size_bytes()}, offsets);
  return tree.buffers[0];
}

double ordered_sum(Group& data_group, std::int64_t num_micro_batches,
                   std::span<const double> values) {
  std::vector<double> sums(static_cast<std::size_t>(num_micro_batches));
  std::vector<std::size_t> offsets;
  for (int rank = 0; rank <= data_group.size(); ++rank) {
    const auto begin = micro_batches_of(num_micro_batches, rank, data_group.size()).begin;
    offsets.push_back(static_cast<std::size_t>(begin) * sizeof(double));
  }
  data_group.all_gather(std::as_bytes(values), std::as_writable_bytes(std::span(sums)), offsets);
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
