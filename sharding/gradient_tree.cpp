// SPDX-License-Identifier: Apache-2.0
#include "sharding/gradient_tree.h"

#include <vector>

#include "core/error.h"
#include "sharding/gradient_add.h"
#include "sharding/gradient_engine.h"
#include "sharding/tree_order.h"

namespace finescale {

struct GradientTree::Impl {
  std::unique_ptr<GradientEngine> engine;
  std::int64_t num_leaves = 0;  // of this rank
  std::int64_t next = 0;
  bool leaf_is_open = false;
};

GradientTree::GradientTree(Group& data_group, std::int64_t num_elements, DType dtype,
                           std::int64_t max_micro_batches)
    : impl_(std::make_unique<Impl>()) {
  impl_->engine = make_contiguous_engine({.group = &data_group,
                                          .gather = &data_group,
                                          .first = 0,
                                          .last = data_group.size(),
                                          .plan = ShardPlan({{0, num_elements}}, data_group.size()),
                                          .dtype = dtype,
                                          .max_micro_batches = max_micro_batches});
}

GradientTree::~GradientTree() = default;

void GradientTree::begin(std::int64_t num_micro_batches) {
  impl_->num_leaves = std::ssize(impl_->engine->begin(num_micro_batches));
  impl_->next = 0;
  impl_->leaf_is_open = false;
}

TensorView GradientTree::next_leaf(const Stream& stream) {
  FS_CHECK(stream.type() == DeviceType::kCpu, "this tree sums in host memory");
  FS_CHECK(!impl_->leaf_is_open, "no leaf is due");
  const TensorView leaf = impl_->engine->open_leaf()[0];
  impl_->leaf_is_open = true;
  clear_elements(leaf.data, leaf.num_elements(), leaf.dtype);
  return leaf;
}

void GradientTree::finish_leaf(const Stream& /*stream*/) {
  FS_CHECK(impl_->leaf_is_open, "no leaf is open");
  impl_->leaf_is_open = false;
  impl_->engine->close_leaf();
  ++impl_->next;
}

TensorView GradientTree::reduce(const Stream& /*stream*/) {
  FS_CHECK(!impl_->leaf_is_open && impl_->next == impl_->num_leaves, "leaves are missing");
  impl_->engine->reduce_unit(0, 0);
  return impl_->engine->result(0);
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
