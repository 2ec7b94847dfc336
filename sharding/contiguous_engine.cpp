// SPDX-License-Identifier: Apache-2.0
// Every rank computes a contiguous range of micro-batches into leaves of full size and merges what
// it can alone. With its last leaf each unit is merged, exchanged and finished on its own: a rank
// receives, for its slice, the nodes of every other rank and adds them in node order.
#include <string>
#include <utility>

#include "core/arena.h"
#include "core/error.h"
#include "sharding/gradient_engine.h"
#include "sharding/tree_order.h"

namespace finescale {

namespace {

class ContiguousEngine final : public GradientEngine {
 public:
  explicit ContiguousEngine(EngineParts parts)
      : parts_(std::move(parts)),
        windows_(parts_.plan),
        base_(parts_.plan.unit(0).begin),
        size_(parts_.plan.unit(parts_.plan.num_units() - 1).end - base_),
        needs_(tree_needs(parts_.max_micro_batches, parts_.group->rank(), parts_.group->size())),
        arena_(parts_.memory.stream, MemoryPurpose::kGradients) {
    FS_CHECK(parts_.dtype == DType::kF32 || parts_.dtype == DType::kF64,
             "gradients are f32 or f64");
    // A piece of a pipeline may have nothing that trains: its sums are empty.
    FS_CHECK(size_ >= 0 && parts_.max_micro_batches > 0, "nothing to sum");
    const ReducerMemory memory =
        contiguous_memory(parts_.plan, parts_.group->rank(), parts_.max_micro_batches);
    arena_.reserve(static_cast<std::size_t>(needs_.own_buffers) *
                       padded_bytes(size_, parts_.dtype) +
                   padded_bytes(memory.staging, parts_.dtype));
    for (std::int64_t i = 0; i < needs_.own_buffers; ++i) {
      buffers_.push_back(arena_.allocate(parts_.dtype, Shape{size_}).data);
    }
    staging_ = arena_.allocate(parts_.dtype, Shape{memory.staging}).data;
    const auto ranks = static_cast<std::size_t>(parts_.group->size());
    nodes_of_rank_.resize(ranks);
    send_.resize(ranks);
    receive_.resize(ranks);
    blocks_.resize(static_cast<std::size_t>(parts_.plan.num_units()));
  }

  std::span<const std::int64_t> begin(std::int64_t num_micro_batches) override {
    FS_CHECK(num_micro_batches > 0 && num_micro_batches <= parts_.max_micro_batches,
             std::to_string(num_micro_batches) + " micro-batches");
    if (num_micro_batches != num_leaves_) {
      plan(num_micro_batches);
    }
    next_ = 0;
    stack_.clear();
    merges_.clear();
    free_.clear();
    for (std::int64_t buffer = std::ssize(buffers_) - 1; buffer >= 0; --buffer) {
      free_.push_back(buffer);  // the first leaf takes buffer 0; the leftmost sum stays in it
    }
    return mine_;
  }

  [[nodiscard]] std::int64_t num_passes() const override { return 1; }
  [[nodiscard]] bool in_pass() const override { return next_ + 1 == std::ssize(mine_); }

  const UnitBlocks& open_leaf() override {
    FS_CHECK(next_ < std::ssize(mine_), "no leaf is due");
    const std::int64_t buffer = free_.back();
    for (int unit = 0; unit < parts_.plan.num_units(); ++unit) {
      blocks_[static_cast<std::size_t>(unit)] = {at(buffer, parts_.plan.unit(unit).begin),
                                                 parts_.dtype,
                                                 Shape{parts_.plan.unit(unit).size()}};
    }
    if (in_pass()) {  // its merges go unit by unit, in reduce_unit
      push_leaf([&](std::int64_t left, std::int64_t right) { merges_.emplace_back(left, right); });
    }
    return blocks_;
  }

  void close_leaf() override {
    if (!in_pass()) {
      push_leaf([&](std::int64_t left, std::int64_t right) {
        add(left, right, {base_, base_ + size_});
        free_.push_back(right);
      });
    }
    ++next_;
  }

  void reduce_unit(std::int64_t /*pass*/, int unit) override {
    for (const auto& [left, right] : merges_) {
      add(left, right, parts_.plan.unit(unit));
    }
    if (parts_.group->size() == 1) {
      return;
    }
    const std::int64_t count = windows_.count(unit);
    for (std::int64_t window = 0; window < count; ++window) {
      exchange(unit, window);
      merge(unit, window);
    }
    gather_slices(parts_, unit, at(0, parts_.plan.slice(unit, parts_.first).begin), offsets_);
  }

  [[nodiscard]] TensorView result(int unit) const override {
    const UnitRange range = parts_.plan.slices(unit, parts_.first, parts_.last);
    return {at(0, range.begin), parts_.dtype, Shape{range.size()}};
  }
  [[nodiscard]] std::size_t memory_bytes() const override { return arena_.capacity(); }

 private:
  [[nodiscard]] std::byte* at(std::int64_t buffer, std::int64_t element) const {
    return element_at(buffers_[static_cast<std::size_t>(buffer)], element - base_, parts_.dtype);
  }
  [[nodiscard]] std::byte* staged(const TreeNode& node) const {
    return element_at(staging_, node.slot * windows_.length(), parts_.dtype);
  }

  void plan(std::int64_t count) {
    num_leaves_ = count;
    const MicroBatchRange range =
        micro_batches_of(count, parts_.group->rank(), parts_.group->size());
    mine_.clear();
    for (std::int64_t leaf = range.begin; leaf < range.end; ++leaf) {
      mine_.push_back(leaf);
    }
    most_nodes_ = 0;
    std::int64_t staged_nodes = 0;
    for (int rank = 0; rank < parts_.group->size(); ++rank) {
      auto& nodes = nodes_of_rank_[static_cast<std::size_t>(rank)];
      nodes = partial_nodes(micro_batches_of(count, rank, parts_.group->size()), count);
      most_nodes_ = std::max(most_nodes_, nodes.size());
      for (TreeNode& node : nodes) {
        node.slot = rank == parts_.group->rank() ? -1 : staged_nodes++;
      }
    }
    FS_CHECK(staged_nodes <= needs_.foreign_nodes, "staging memory is too small");
  }

  template <class Merge>
  void push_leaf(Merge&& merge_slots) {
    const std::int64_t buffer = free_.back();
    free_.pop_back();
    push_node(stack_, {0, mine_[static_cast<std::size_t>(next_)], buffer}, num_leaves_,
              merge_slots);
  }

  void add(std::int64_t left, std::int64_t right, const UnitRange& range) const {
    add_elements(parts_.memory, at(left, range.begin), at(left, range.begin),
                 at(right, range.begin), range.size(), parts_.dtype);
  }

  // The k-th node of each rank goes in the k-th exchange. Collective over the group.
  void exchange(int unit, std::int64_t window) {
    const int me = parts_.group->rank();
    const std::size_t element = dtype_size(parts_.dtype);
    const auto mine = static_cast<std::size_t>(windows_.at(unit, me, window).size());
    for (std::size_t k = 0; k < most_nodes_; ++k) {
      for (int rank = 0; rank < parts_.group->size(); ++rank) {
        const auto peer = static_cast<std::size_t>(rank);
        send_[peer] = {};
        receive_[peer] = {};
        if (rank == me) {
          continue;
        }
        if (k < stack_.size()) {
          const UnitRange theirs = windows_.at(unit, rank, window);
          send_[peer] = {at(stack_[k].slot, theirs.begin),
                         static_cast<std::size_t>(theirs.size()) * element};
        }
        if (k < nodes_of_rank_[peer].size()) {
          receive_[peer] = {staged(nodes_of_rank_[peer][k]), mine * element};
        }
      }
      parts_.group->all_to_all(send_, receive_);
    }
  }

  // Finishes the tree for this rank's slice, in node order; the last sum goes into buffer 0.
  void merge(int unit, std::int64_t window) {
    const UnitRange mine = windows_.at(unit, parts_.group->rank(), window);
    if (mine.size() == 0) {
      return;
    }
    places_.clear();
    merge_stack_.clear();
    for (std::size_t rank = 0; rank < nodes_of_rank_.size(); ++rank) {
      const bool own = std::cmp_equal(rank, parts_.group->rank());
      for (std::size_t k = 0; k < nodes_of_rank_[rank].size(); ++k) {
        places_.push_back(own ? at(stack_[k].slot, mine.begin) : staged(nodes_of_rank_[rank][k]));
      }
    }
    std::byte* const result = at(0, mine.begin);
    auto merges_left = std::ssize(places_) - 1;
    if (merges_left == 0 && places_[0] != result) {
      copy_elements(parts_.memory, result, places_[0], mine.size(), parts_.dtype);
    }
    std::int64_t place = 0;
    for (const auto& nodes : nodes_of_rank_) {
      for (TreeNode node : nodes) {
        node.slot = place++;
        push_node(merge_stack_, node, num_leaves_, [&](std::int64_t left, std::int64_t right) {
          std::byte*& sum = places_[static_cast<std::size_t>(left)];
          std::byte* const out = --merges_left == 0 ? result : sum;
          add_elements(parts_.memory, out, sum, places_[static_cast<std::size_t>(right)],
                       mine.size(), parts_.dtype);
          sum = out;
        });
      }
    }
    FS_CHECK(merge_stack_.size() == 1, "the tree has one root");
  }

  EngineParts parts_;
  SliceWindows windows_;
  std::int64_t base_;  // of the flat block
  std::int64_t size_;
  TreeNeeds needs_;
  Arena arena_;
  std::vector<void*> buffers_;  // [own_buffers][size]; the first one gets the result
  void* staging_ = nullptr;     // [foreign_nodes][window]

  std::int64_t num_leaves_ = -1;
  std::vector<std::int64_t> mine_;
  std::vector<std::vector<TreeNode>> nodes_of_rank_;  // what each holds when its leaves are done
  std::size_t most_nodes_ = 0;
  std::int64_t next_ = 0;  // index into mine_
  UnitBlocks blocks_;
  std::vector<TreeNode> stack_;                                // slot = index into buffers_
  std::vector<std::pair<std::int64_t, std::int64_t>> merges_;  // of the last leaf
  std::vector<std::int64_t> free_;                             // buffers, the last is taken next
  std::vector<TreeNode> merge_stack_;
  std::vector<std::byte*> places_;
  std::vector<std::span<const std::byte>> send_;
  std::vector<std::span<std::byte>> receive_;
  std::vector<std::size_t> offsets_;
};

}  // namespace

std::unique_ptr<GradientEngine> make_contiguous_engine(EngineParts parts) {
  return std::make_unique<ContiguousEngine>(std::move(parts));
}

}  // namespace finescale
