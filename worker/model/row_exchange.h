// SPDX-License-Identifier: Apache-2.0
// Collectives on the rows of an activation [T, C] for tensor parallelism: rank r of t owns rows
// [T r / t, T (r + 1) / t). Sums are taken in rank order as a balanced binary tree, so they have
// the same bits on every repeat. Without a group, or in a group of one, there is nothing to
// exchange.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/group.h"
#include "core/tensor.h"
#include "kernels/divergence.h"
#include "sharding/gradient_add.h"

namespace finescale {

class RowExchange {
 public:
  // stream: of the rows that travel.
  RowExchange(Group* group, const Stream& stream);

  [[nodiscard]] const Stream& stream() const noexcept { return memory_.stream; }
  [[nodiscard]] bool active() const noexcept { return group_ != nullptr; }
  [[nodiscard]] int size() const noexcept { return active() ? group_->size() : 1; }
  [[nodiscard]] int rank() const noexcept { return active() ? group_->rank() : 0; }
  [[nodiscard]] std::int64_t begin(std::int64_t rows, int rank) const noexcept {
    return rows * rank / size();
  }
  // Rows that this rank owns of a matrix of all rows.
  [[nodiscard]] TensorView own(const TensorView& all) const noexcept;
  [[nodiscard]] std::int64_t most_rows(std::int64_t rows) const noexcept {
    return (rows + size() - 1) / size();
  }

  // Each rank's own rows of `all` [T, C] reach every rank. Collective over the group.
  void all_gather(const TensorView& all);
  // sum [own rows, C] = sum over ranks of their `partial` [T, C], own rows only; partial's own rows
  // are overwritten. received: size() - 1 buffers for this rank's rows. Collective over the group.
  void reduce_scatter(const TensorView& partial, std::span<const TensorView> received,
                      const TensorView& sum);
  // Concatenation of equal parts in rank order. Collective over the group.
  void all_gather_parts(const TensorView& part, const TensorView& whole);

 private:
  Group* group_;
  LeafMemory memory_;
  std::vector<std::size_t> offsets_;
  std::vector<std::span<const std::byte>> send_;
  std::vector<std::span<std::byte>> receive_;
  std::vector<void*> addends_;
};

// Puts the statistics [R, 3] of a whole vocabulary (VocabularyPart) in the place of this rank's:
// combined in rank order. scratch [t R, 3]. With a rule they are those of a divergence: [R, 7].
// Collective over the group.
void combine_statistics(RowExchange& exchange, const TensorView& statistics,
                        const TensorView& scratch, const DivergenceRule* rule = nullptr);

}  // namespace finescale
