// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/legality.h"

#include <set>

#include <gtest/gtest.h>

#include "tests/plan/planner/shapes.h"

namespace finescale::planner {
namespace {

std::string fault(const ModelShape& model, const Plan& plan) {
  const auto found = find_fault(model, plan);
  return found ? found->field + ": " + found->message : "";
}
Plan tensor(int size) {
  return {{1, 1, size, 1}, 0, Recompute::kNone, false};
}

TEST(Factorisations, AreAllOfThemOnce) {
  // d(n) = prod over primes of C(e + 3, 3): 2^3 has 20, 2^2 x 3 has 10 x 4, 1 has 1.
  EXPECT_EQ(factorisations(8).size(), 20U);
  EXPECT_EQ(factorisations(12).size(), 40U);
  EXPECT_EQ(factorisations(1).size(), 1U);
  std::set<std::array<int, 4>> seen;
  for (const Axes& axes : factorisations(12)) {
    EXPECT_EQ(axes.ranks(), 12);
    EXPECT_TRUE(seen.insert({axes.data, axes.shard, axes.tensor, axes.pipeline}).second);
  }
}

TEST(FindFault, NamesTheNumbersAndWhatIsLegal) {
  ModelShape model = tiny();
  EXPECT_EQ(fault(model, tensor(3)),
            "tensor: mesh.tensor is 3, but the model has 4 attention heads: use 1, 2 or 4");
  model.intermediate = 190;
  EXPECT_EQ(fault(model, tensor(4)),
            "tensor: mesh.tensor is 4, but the model's intermediate_size is 190: use 1 or 2");
  model = tiny();
  model.vocab = 510;
  EXPECT_EQ(fault(model, tensor(4)),
            "tensor: mesh.tensor is 4, but the model's vocab_size is 510: use 1 or 2");
  model = tiny();
  model.hidden = 66;
  EXPECT_EQ(fault(model, tensor(4)),
            "tensor: mesh.tensor is 4, but the model's hidden_size is 66: use 1 or 2");
  model = tiny();
  model.heads = 12;
  model.kv_heads = 3;
  EXPECT_EQ(fault(model, tensor(4)),
            "tensor: mesh.tensor is 4, but the model has 3 key/value heads: use 1");
  EXPECT_EQ(fault(tiny(), {{1, 1, 1, 3}, 0, Recompute::kNone, false}),
            "pipeline: mesh.pipeline is 3, but the model has 2 layers: use at most 2");
  EXPECT_EQ(fault(tiny(), {{2, 1, 1, 1}, 2, Recompute::kNone, false}),
            "zero: mesh.zero is 2, but mesh.shard is 1: use zero 0, or give shard > 1");
}

TEST(FindFault, KeyValueHeadsMayBeFewerThanRanks) {
  EXPECT_EQ(fault(tiny(), tensor(2)), "");
  EXPECT_EQ(fault(tiny(), tensor(4)), "");  // two ranks hold the same head
  EXPECT_EQ(tensor_sizes(llama3_8b(), 64), (std::vector<int>{1, 2, 4, 8, 16, 32}));
  EXPECT_EQ(tensor_sizes(smollm2_135m(), 64), (std::vector<int>{1, 3}));
}

TEST(NearestLegal, IsLegalAndTheMeshItselfWhenThatIs) {
  for (const int ranks : {1, 2, 4, 6, 8, 9, 24}) {
    for (const Axes& axes : factorisations(ranks)) {
      const Axes near = nearest_legal(smollm2_135m(), axes, ranks);
      const Plan plan{near, 0, Recompute::kNone, false};
      EXPECT_EQ(near.ranks(), ranks);
      EXPECT_FALSE(find_fault(smollm2_135m(), plan));
      if (!find_fault(smollm2_135m(), {axes, 0, Recompute::kNone, false})) {
        EXPECT_EQ(near, axes);
      }
    }
  }
  EXPECT_EQ(nearest_legal(tiny(), {2, 1, 3, 1}, 6), (Axes{3, 1, 2, 1}));
}

}  // namespace
}  // namespace finescale::planner
