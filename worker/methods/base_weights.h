// SPDX-License-Identifier: Apache-2.0
// The frozen weights as a method sees them: shapes, and values wherever they lie. At ZeRO-3 a
// unit's values are there between enter and leave only.
#pragma once

#include <functional>
#include <vector>

#include "comm/group.h"
#include "worker/model/parameters.h"

namespace finescale {

struct BaseWeights {
  ParameterSet* set = nullptr;
  UnitBlocks blocks;                           // of the set's units
  std::function<void(int unit)> enter, leave;  // null: the values are always there
  Group* tensor = nullptr;                     // ranks that share every matrix; null: none
  Group* replica = nullptr;  // ranks that hold the same and split the batch; null: none
  // For methods that change the base: calls put(begin, end, values) for the elements of the local
  // tensor that this rank keeps, after which units are gathered anew.
  using Put = std::function<void(std::int64_t begin, std::int64_t end, const TensorView& values)>;
  std::function<void(int tensor, const Put& put)> change;

  [[nodiscard]] TensorView value(int index) const { return set->view_in(blocks, index); }

  // Calls visit(index) for these tensors, the values of each being there. Collective over shard:
  // every rank gives the same tensors.
  template <class Visit>
  void for_each(const std::vector<int>& tensors, Visit&& visit) const {
    int held = -1;
    for (const int index : tensors) {
      if (const int unit = set->unit_of(index); unit != held) {
        let_go(held);
        held = unit;
        if (enter) {
          enter(held);
        }
      }
      visit(index);
    }
    let_go(held);
  }

 private:
  void let_go(int unit) const {
    if (unit >= 0 && leave) {
      leave(unit);
    }
  }
};

// The whole tensor `index` in double precision, row-major, the same bits on every rank and mesh.
// Its values must be there. Collective over the tensor group.
[[nodiscard]] std::vector<double> whole_tensor(const BaseWeights& base, int index);

}  // namespace finescale
