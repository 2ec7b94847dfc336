// SPDX-License-Identifier: Apache-2.0
#include "worker/model/row_exchange.h"

#include "core/error.h"
#include "kernels/cross_entropy.h"
#include "worker/model/leaf_memory.h"

namespace finescale {

namespace {

std::span<std::byte> bytes_of(const TensorView& view) {
  FS_CHECK(view.is_dense() || view.rows() <= 1, "rows that travel are dense");
  return {static_cast<std::byte*>(view.data), view.size_bytes()};
}

}  // namespace

RowExchange::RowExchange(Group* group, const Stream& stream)
    : group_(group != nullptr && group->size() > 1 ? group : nullptr),
      memory_(leaf_memory(stream)) {}

TensorView RowExchange::own(const TensorView& all) const noexcept {
  return active() ? all.row_range(begin(all.rows(), rank()), begin(all.rows(), rank() + 1)) : all;
}

void RowExchange::all_gather(const TensorView& all) {
  if (!active()) {
    return;
  }
  const std::size_t row_bytes = static_cast<std::size_t>(all.cols()) * dtype_size(all.dtype);
  offsets_.clear();
  for (int r = 0; r <= size(); ++r) {
    offsets_.push_back(static_cast<std::size_t>(begin(all.rows(), r)) * row_bytes);
  }
  group_->all_gather(bytes_of(own(all)), bytes_of(all), offsets_);
}

void RowExchange::all_gather_parts(const TensorView& part, const TensorView& whole) {
  offsets_.clear();
  for (int r = 0; r <= size(); ++r) {
    offsets_.push_back(static_cast<std::size_t>(r) * part.size_bytes());
  }
  group_->all_gather(bytes_of(part), bytes_of(whole), offsets_);
}

void RowExchange::reduce_scatter(const TensorView& partial, std::span<const TensorView> received,
                                 const TensorView& sum) {
  send_.clear();
  receive_.clear();
  addends_.clear();
  const TensorView mine = own(partial);
  for (int r = 0; r < size(); ++r) {
    const TensorView theirs =
        partial.row_range(begin(partial.rows(), r), begin(partial.rows(), r + 1));
    send_.emplace_back(bytes_of(theirs));
    const bool self = r == rank();
    const auto slot = static_cast<std::size_t>(r < rank() ? r : r - 1);
    void* place = self ? mine.data : received[slot].data;
    receive_.emplace_back(static_cast<std::byte*>(place), mine.size_bytes());
    addends_.push_back(place);
  }
  group_->all_to_all(send_, receive_);
  const std::size_t ranks = addends_.size();
  std::size_t stride = 1;
  for (; 2 * stride < ranks; stride *= 2) {
    for (std::size_t left = 0; left + stride < ranks; left += 2 * stride) {
      add_elements(memory_, addends_[left], addends_[left], addends_[left + stride],
                   mine.num_elements(), mine.dtype);
    }
  }
  add_elements(memory_, sum.data, addends_[0], addends_[stride], mine.num_elements(), mine.dtype);
}

void combine_statistics(RowExchange& exchange, const TensorView& statistics,
                        const TensorView& scratch, const DivergenceRule* rule) {
  exchange.all_gather_parts(statistics, scratch);
  if (rule != nullptr) {
    return divergence_combine(*rule, scratch, statistics);
  }
  cross_entropy_combine(exchange.stream(), scratch, statistics);
}

}  // namespace finescale
