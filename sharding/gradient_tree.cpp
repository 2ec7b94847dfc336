// SPDX-License-Identifier: Apache-2.0
#include "sharding/gradient_tree.h"

#include <numeric>
#include <vector>

#include "core/error.h"
#include "sharding/gradient_add.h"
#include "sharding/gradient_engine.h"
#include "sharding/ordered_losses.h"

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
  const MicroBatchRange mine =
      micro_batches_of(num_micro_batches, data_group.rank(), data_group.size());
  std::vector<std::int64_t> indices(static_cast<std::size_t>(mine.end - mine.begin));
  std::iota(indices.begin(), indices.end(), mine.begin);
  const std::int64_t slots = (num_micro_batches + data_group.size() - 1) / data_group.size();
  return ordered_sum_of(data_group, num_micro_batches, slots, indices, values);
}

}  // namespace finescale
