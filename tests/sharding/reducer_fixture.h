// SPDX-License-Identifier: Apache-2.0
// Steps of a GradientReducer with gradients whose sum depends on the order of addition, and the sum
// that one rank at stage 0 gets.
#pragma once

#include <optional>
#include <vector>

#include "comm/comm_queue.h"
#include "core/parallel.h"
#include "kernels/reduce.h"
#include "sharding/gradient_reducer.h"
#include "sharding/ordered_reduce.h"
#include "tests/sharding/tree_reference.h"

namespace finescale {

// An embedding, three layers, one of them smaller than a block, and a head; ragged.
inline std::vector<UnitRange> test_units() {
  return {{0, 1500}, {1500, 2100}, {2100, 2307}, {2307, 3000}, {3000, 3001}};
}
inline constexpr PassingUnits kTestLayers{.first = 1, .count = 3};

struct ReducerCase {
  int zero_stage = 0;
  bool overlap = false;
  bool idle_by_hand = false;  // idle rounds close their units as a model's hooks do
};

template <class T>
struct ReducedStep {
  std::vector<std::vector<T>> gradients;  // by unit: what this rank owns
  double squared_norm = 0;                // of everything
  std::uint64_t bytes_sent = 0;           // in this step, the norm's apart
};

template <class T>
class ReducerSteps {
 public:
  ReducerSteps(Group& world, const MeshShape& shape, ReducerCase variant, std::int64_t max_leaves)
      : mesh_(world, shape),
        plan_(test_units(), shape.data * shape.shard, kTestLayers),
        variant_(variant),
        reducer_(mesh_, plan_, sizeof(T) == 4 ? DType::kF32 : DType::kF64, max_leaves,
                 {variant.zero_stage, variant.overlap},
                 variant.overlap ? &queue_.emplace() : nullptr) {}

  ReducedStep<T> run(std::int64_t leaves) {
    ReducedStep<T> step;
    const std::uint64_t before = reducer_.bytes_sent();
    const auto mine = reducer_.begin(leaves);
    for (std::int64_t round = 0; round < reducer_.num_rounds(); ++round) {
      if (round < std::ssize(mine)) {
        micro_batch(mine[static_cast<std::size_t>(round)]);
      } else if (variant_.idle_by_hand) {
        for (int unit = plan_.num_units() - 1; unit >= 0; --unit) {
          reducer_.close_unit(unit);
        }
        reducer_.idle_round();
      }
    }
    reducer_.finish();
    step.bytes_sent = reducer_.bytes_sent() - before;
    ExactSum norm;
    for (int unit = 0; unit < plan_.num_units(); ++unit) {
      const TensorView sum = reducer_.gradient(unit);
      step.gradients.emplace_back(sum.as<T>(), sum.as<T>() + sum.num_elements());
      squared_norm_blocks(Stream(), sum, norm);
    }
    if (variant_.zero_stage > 0) {
      exact_all_reduce(mesh_.shard(), norm);
    }
    step.squared_norm = norm.value();
    return step;
  }

  [[nodiscard]] GradientReducer& reducer() { return reducer_; }
  [[nodiscard]] const ShardPlan& plan() const { return plan_; }
  [[nodiscard]] Mesh& mesh() { return mesh_; }

 private:
  // The embedding is tied: it is opened first and closed last.
  void micro_batch(std::int64_t leaf) {
    const UnitBlocks& blocks = reducer_.open_micro_batch();
    reducer_.open_unit(0);
    for (int unit = plan_.num_units() - 1; unit >= 0; --unit) {
      reducer_.open_unit(unit);
      const TensorView& block = blocks[static_cast<std::size_t>(unit)];
      for (std::int64_t i = 0; i < block.num_elements(); ++i) {
        block.as<T>()[i] += leaf_value<T>(leaf, plan_.unit(unit).begin + i);
      }
      reducer_.close_unit(unit);
    }
    reducer_.close_micro_batch();
  }

  Mesh mesh_;
  ShardPlan plan_;
  ReducerCase variant_;
  std::optional<CommQueue> queue_;
  GradientReducer reducer_;
};

}  // namespace finescale
