// SPDX-License-Identifier: Apache-2.0
#include "sharding/parameter_store.h"

#include <optional>

#include <gtest/gtest.h>

#include "comm/comm_queue.h"
#include "comm/local/local_group.h"
#include "core/error.h"
#include "core/parallel.h"

namespace finescale {
namespace {

// Embedding, four layers of one matrix and a norm, head.
struct Model {
  std::vector<LogicalTensor> tensors;
  std::vector<std::int64_t> offsets;
  std::vector<UnitRange> units;
  PassingUnits layers{.first = 1, .count = 4};

  Model() {
    std::int64_t at = 0;
    const auto add = [&](Shape shape) {
      tensors.push_back({"t" + std::to_string(tensors.size()), shape, {}, true});
      offsets.push_back(at);
      at += shape.num_elements();
    };
    const auto unit = [&](auto&& declare) {
      const std::int64_t begin = at;
      declare();
      units.push_back({begin, at});
    };
    unit([&] { add({50, 31}); });
    for (int layer = 0; layer < layers.count; ++layer) {
      unit([&] {
        add({17, 31});
        add({31 + layer});
      });
    }
    unit([&] { add({3, 31}); });
  }
  [[nodiscard]] std::int64_t size() const { return units.back().end; }
};

double value_at(std::int64_t element, int version) {
  return static_cast<double>(element) + version * 0.5;
}

void fill(ParameterStore& store, const Model& model) {
  for (std::size_t i = 0; i < model.tensors.size(); ++i) {
    const LogicalTensor& tensor = model.tensors[i];
    store.fill(local_part(tensor, 0, 1), model.offsets[i],
               [&](const LocalPart& slab, const TensorView& values) {
                 std::int64_t at = slab.offset[0];
                 if (tensor.shape.rank == 2) {
                   ASSERT_TRUE(slab.shape[0] == 1 || slab.shape[1] == tensor.shape[1]);
                   at = at * tensor.shape[1] + slab.offset[1];
                 }
                 for (std::int64_t k = 0; k < values.num_elements(); ++k) {
                   values.as<double>()[k] = value_at(model.offsets[i] + at + k, 0);
                 }
               });
  }
}

void expect_unit(const ParameterStore& store, const Model& model, int unit, int version) {
  const TensorView& block = store.blocks()[static_cast<std::size_t>(unit)];
  const UnitRange range = model.units[static_cast<std::size_t>(unit)];
  ASSERT_EQ(block.num_elements(), range.size());
  for (std::int64_t k = 0; k < range.size(); ++k) {
    ASSERT_EQ(block.as<double>()[k], value_at(range.begin + k, version))
        << "unit " << unit << " element " << k << " version " << version;
  }
}

// Forward and backward of one micro-batch, the embedding tied to the head.
void pass(ParameterStore& store, const Model& model, int version) {
  const int units = static_cast<int>(model.units.size());
  for (int unit = 0; unit < units; ++unit) {
    store.acquire(unit, unit + 1 < units ? unit + 1 : -1);
    expect_unit(store, model, unit, version);
    store.release(unit);
  }
  store.acquire(0, -1);
  for (int unit = units - 1; unit > 0; --unit) {
    store.acquire(unit, unit - 1);
    expect_unit(store, model, unit, version);
    expect_unit(store, model, 0, version);
    store.release(unit);
  }
  store.release(0);
}

void train(Group& world, const MeshShape& shape, int stage, bool overlap) {
  set_num_threads(1);
  const Model model;
  Mesh mesh(world, shape);
  std::optional<CommQueue> queue;
  ParameterStore store(mesh, ShardPlan(model.units, mesh.replica().size(), model.layers),
                       DType::kF64, stage, overlap ? &queue.emplace() : nullptr);
  const UnitBlocks before = store.blocks();
  fill(store, model);
  for (int step = 0; step < 3; ++step) {
    pass(store, model, step);
    pass(store, model, step);
    std::int64_t mine = 0;
    for (int unit = 0; unit < std::ssize(model.units); ++unit) {
      const TensorView owned = store.owned(unit);
      const UnitRange range = store.owned_range(unit);
      ASSERT_EQ(owned.num_elements(), range.size());
      for (std::int64_t k = 0; k < range.size(); ++k) {
        ASSERT_EQ(owned.as<double>()[k], value_at(range.begin + k, step));
        owned.as<double>()[k] += 0.5;
      }
      mine += range.size();
    }
    ASSERT_EQ(mesh.shard().sum(mine), model.size() * (stage == 0 ? shape.shard : 1));
    store.publish();
  }
  pass(store, model, 3);
  for (std::size_t unit = 0; unit < before.size(); ++unit) {
    EXPECT_EQ(store.blocks()[unit].data, before[unit].data);
  }
}

TEST(ParameterStore, EveryStageServesTheSameValues) {
  for (const MeshShape shape :
       {MeshShape{}, MeshShape{.data = 2}, MeshShape{.shard = 2}, MeshShape{.data = 2, .shard = 2},
        MeshShape{.shard = 5}, MeshShape{.data = 2, .shard = 3}}) {
    run_local_ranks(shape.num_ranks(), [&](Group& world) {
      for (int stage = 0; stage <= 3; ++stage) {
        train(world, shape, stage, false);
        train(world, shape, stage, true);
      }
    });
  }
}

TEST(ParameterStore, RangesTileTheBlockAndAreAllThatIsKept) {
  run_local_ranks(3, [&](Group& world) {
    const Model model;
    Mesh mesh(world, {.shard = 3});
    ParameterStore store(mesh, ShardPlan(model.units, 3, model.layers), DType::kF64, 3, nullptr);
    std::int64_t kept = 0;
    for (const auto& piece : store.pieces(0, model.size())) {
      EXPECT_EQ(piece.values.num_elements(), piece.range.size());
      kept += piece.range.size();
    }
    EXPECT_EQ(world.sum(kept), model.size());
    // Places: embedding, two layers, head.
    const std::int64_t places = model.units[0].size() + model.units[3].size() +
                                model.units[4].size() + model.units[5].size();
    EXPECT_LE(store.memory_bytes(), static_cast<std::size_t>(places + kept) * 8 + 5 * 64);
  });
}

TEST(ParameterStore, UsesAWholeBlockOfAnother) {
  run_local_ranks(2, [&](Group& world) {
    const Model model;
    Mesh mesh(world, {.shard = 2});
    std::vector<double> memory(static_cast<std::size_t>(model.size()));
    const TensorView whole(memory.data(), DType::kF64, Shape{model.size()});
    ParameterStore store(mesh, ShardPlan(model.units, 2, model.layers), DType::kF64, 1, nullptr,
                         whole);
    EXPECT_EQ(store.memory_bytes(), 0);
    fill(store, model);
    for (std::int64_t i = 0; i < model.size(); ++i) {
      ASSERT_EQ(memory[static_cast<std::size_t>(i)], value_at(i, 0));
    }
    EXPECT_THROW(ParameterStore(mesh, ShardPlan(model.units, 2), DType::kF64, 3, nullptr, whole),
                 Error);
  });
}

TEST(ParameterStore, MisuseIsAnInternalError) {
  run_local_ranks(2, [&](Group& world) {
    const Model model;
    Mesh mesh(world, {.shard = 2});
    ParameterStore store(mesh, ShardPlan(model.units, 2, model.layers), DType::kF64, 3, nullptr);
    EXPECT_THROW(store.release(1), Error);
    store.acquire(1, -1);
    EXPECT_THROW(store.acquire(3, -1), Error);  // the same place
    EXPECT_THROW(store.publish(), Error);
    store.release(1);
    store.publish();
  });
}

}  // namespace
}  // namespace finescale
