// SPDX-License-Identifier: Apache-2.0
// Micro-batch k R + r is rank r's in pass k, so the leaves of a pass are neighbours in the tree. A
// rank receives, for its slice, the leaf of every other rank and merges them at once: sums are of
// slice size and few, and a leaf's memory is free again after its unit has been sent.
#include <string>
#include <utility>

#include "core/arena.h"
#include "core/error.h"
#include "sharding/gradient_engine.h"
#include "sharding/pass_program.h"
#include "sharding/reducer_memory.h"

namespace finescale {

namespace {

class StridedEngine final : public GradientEngine {
 public:
  explicit StridedEngine(EngineParts parts)
      : parts_(std::move(parts)),
        windows_(parts_.plan),
        rank_(parts_.group->rank()),
        ranks_(parts_.group->size()),
        memory_(strided_memory(parts_.plan, rank_, parts_.first, parts_.last,
                               parts_.max_micro_batches)),
        arena_(parts_.memory.stream, MemoryPurpose::kGradients) {
    FS_CHECK(parts_.dtype == DType::kF32 || parts_.dtype == DType::kF64,
             "gradients are f32 or f64");
    FS_CHECK(ranks_ > 1 && parts_.max_micro_batches > 0, "nothing to sum");
    std::int64_t results = 0;
    for (int unit = 0; unit < parts_.plan.num_units(); ++unit) {
      result_begin_.push_back(results);
      sum_begin_.push_back(sum_size_);
      results += parts_.plan.slices(unit, parts_.first, parts_.last).size();
      sum_size_ += parts_.plan.slice(unit, rank_).size();
    }
    allocate();
    for (int unit = 0; unit < parts_.plan.num_units(); ++unit) {
      const auto place = static_cast<std::size_t>(parts_.plan.place(unit));
      blocks_.emplace_back(places_[place], parts_.dtype, Shape{parts_.plan.unit(unit).size()});
    }
    send_.resize(static_cast<std::size_t>(ranks_));
    receive_.resize(static_cast<std::size_t>(ranks_));
  }

  std::span<const std::int64_t> begin(std::int64_t num_micro_batches) override {
    FS_CHECK(num_micro_batches > 0 && num_micro_batches <= parts_.max_micro_batches,
             std::to_string(num_micro_batches) + " micro-batches");
    next_ = 0;
    if (num_micro_batches != num_leaves_) {
      num_leaves_ = num_micro_batches;
      programs_ = make_pass_programs(num_leaves_, ranks_);
      FS_CHECK(programs_.num_sums <= memory_.num_sums, "memory for sums is too small");
      mine_.clear();
      for (std::int64_t leaf = rank_; leaf < num_leaves_; leaf += ranks_) {
        mine_.push_back(leaf);
      }
    }
    return mine_;
  }

  [[nodiscard]] std::int64_t num_passes() const override { return std::ssize(programs_.passes); }
  [[nodiscard]] bool in_pass() const override { return true; }
  const UnitBlocks& open_leaf() override {
    FS_CHECK(next_ < std::ssize(mine_), "no leaf is due");
    return blocks_;
  }
  void close_leaf() override { ++next_; }

  void reduce_unit(std::int64_t pass, int unit) override {
    const std::int64_t count = windows_.count(unit);
    for (std::int64_t window = 0; window < count; ++window) {
      exchange(pass, unit, window);
      merge(pass, unit, window);
    }
    if (pass + 1 == num_passes()) {
      gather_slices(parts_, unit, result(unit).data, offsets_);
    }
  }

  [[nodiscard]] TensorView result(int unit) const override {
    return {element_at(result_, result_begin_[static_cast<std::size_t>(unit)], parts_.dtype),
            parts_.dtype, Shape{parts_.plan.slices(unit, parts_.first, parts_.last).size()}};
  }
  [[nodiscard]] std::size_t memory_bytes() const override { return arena_.capacity(); }

 private:
  void allocate() {
    std::size_t bytes = padded_bytes(memory_.result, parts_.dtype) +
                        padded_bytes(memory_.sums, parts_.dtype) +
                        padded_bytes(memory_.staging, parts_.dtype);
    for (const std::int64_t size : parts_.plan.place_sizes()) {
      bytes += padded_bytes(size, parts_.dtype);
    }
    arena_.reserve(bytes);
    for (const std::int64_t size : parts_.plan.place_sizes()) {
      places_.push_back(arena_.allocate(parts_.dtype, Shape{size}).data);
    }
    result_ = arena_.allocate(parts_.dtype, Shape{memory_.result}).data;
    sums_ = arena_.allocate(parts_.dtype, Shape{memory_.sums}).data;
    staging_ = arena_.allocate(parts_.dtype, Shape{memory_.staging}).data;
  }

  [[nodiscard]] bool has_leaf(std::int64_t pass, int rank) const {
    return pass * ranks_ + rank < num_leaves_;
  }
  // What the rank sent, in the order of the other ranks.
  [[nodiscard]] std::byte* staged(int rank) const {
    return element_at(staging_, (rank < rank_ ? rank : rank - 1) * windows_.length(), parts_.dtype);
  }
  [[nodiscard]] std::byte* leaf(int unit, std::int64_t element) const {
    return element_at(blocks_[static_cast<std::size_t>(unit)].data,
                      element - parts_.plan.unit(unit).begin, parts_.dtype);
  }

  // Collective over the group.
  void exchange(std::int64_t pass, int unit, std::int64_t window) {
    const std::size_t element = dtype_size(parts_.dtype);
    const auto mine = static_cast<std::size_t>(windows_.at(unit, rank_, window).size());
    for (int rank = 0; rank < ranks_; ++rank) {
      const auto peer = static_cast<std::size_t>(rank);
      send_[peer] = {};
      receive_[peer] = {};
      if (rank != rank_ && has_leaf(pass, rank_)) {
        const UnitRange theirs = windows_.at(unit, rank, window);
        send_[peer] = {leaf(unit, theirs.begin), static_cast<std::size_t>(theirs.size()) * element};
      }
      if (rank != rank_ && has_leaf(pass, rank)) {
        receive_[peer] = {staged(rank), mine * element};
      }
    }
    parts_.group->all_to_all(send_, receive_);
  }

  void merge(std::int64_t pass, int unit, std::int64_t window) {
    const UnitRange mine = windows_.at(unit, rank_, window);
    const std::int64_t inside = mine.begin - parts_.plan.slice(unit, rank_).begin;
    const auto index = static_cast<std::size_t>(unit);
    const auto address = [&](Place place) {
      if (place == leaf_of(rank_)) {
        return leaf(unit, mine.begin);
      }
      if (place < 0) {
        return staged(static_cast<int>(-1 - place));
      }
      if (place == 0) {  // becomes the sum of all leaves, among the slices of the result
        const std::int64_t begin = parts_.plan.slice(unit, parts_.first).begin;
        return element_at(result_, result_begin_[index] + mine.begin - begin, parts_.dtype);
      }
      return element_at(sums_, (place - 1) * sum_size_ + sum_begin_[index] + inside, parts_.dtype);
    };
    for (const auto& [out, left, right] : programs_.passes[static_cast<std::size_t>(pass)]) {
      if (left == right) {
        copy_elements(parts_.memory, address(out), address(left), mine.size(), parts_.dtype);
      } else {
        add_elements(parts_.memory, address(out), address(left), address(right), mine.size(),
                     parts_.dtype);
      }
    }
  }

  EngineParts parts_;
  SliceWindows windows_;
  int rank_;
  int ranks_;
  ReducerMemory memory_;
  std::vector<std::int64_t> result_begin_;  // by unit, in elements
  std::vector<std::int64_t> sum_begin_;
  std::int64_t sum_size_ = 0;
  Arena arena_;
  std::vector<void*> places_;  // leaves, as the plan places units
  void* result_ = nullptr;     // slices [first, last) of every unit
  void* sums_ = nullptr;       // [num_sums - 1][own slice of every unit]
  void* staging_ = nullptr;    // [ranks - 1][window]

  std::int64_t num_leaves_ = -1;
  PassPrograms programs_;
  std::vector<std::int64_t> mine_;
  std::int64_t next_ = 0;  // index into mine_
  UnitBlocks blocks_;
  std::vector<std::span<const std::byte>> send_;
  std::vector<std::span<std::byte>> receive_;
  std::vector<std::size_t> offsets_;
};

}  // namespace

std::unique_ptr<GradientEngine> make_strided_engine(EngineParts parts) {
  return std::make_unique<StridedEngine>(std::move(parts));
}

}  // namespace finescale
