// SPDX-License-Identifier: Apache-2.0
#include "sharding/layout.h"

#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.h"

namespace finescale {
namespace {

// Row-major indices, in the logical tensor, of the elements of a hyperslab, in order.
std::vector<std::int64_t> elements(const Shape& whole, const LocalPart& slab) {
  std::vector<std::int64_t> indices;
  const std::int64_t count = slab.shape.num_elements();
  for (std::int64_t flat = 0; flat < count; ++flat) {
    std::int64_t rest = flat;
    std::int64_t index = 0;
    std::int64_t stride = 1;
    for (int axis = whole.rank - 1; axis >= 0; --axis) {
      index += (slab.offset[axis] + rest % slab.shape[axis]) * stride;
      rest /= slab.shape[axis];
      stride *= whole[axis];
    }
    indices.push_back(index);
  }
  return indices;
}

std::vector<Shape> shapes() {
  return {Shape{1},        Shape{7},          Shape{12},        Shape{12, 1},   Shape{1, 12},
          Shape{6, 4},     Shape{12, 12},     Shape{5, 3},      Shape{4, 6, 2}, Shape{3, 5, 7},
          Shape{12, 2, 3}, Shape{2, 3, 4, 2}, Shape{3, 1, 2, 4}};
}

TEST(Layout, LocalPartsTileTheTensor) {
  int cut = 0;
  for (const Shape& shape : shapes()) {
    for (int dim = 0; dim < shape.rank; ++dim) {
      for (int ranks = 1; ranks <= 12; ++ranks) {
        for (int parts = 0; parts <= ranks; ++parts) {
          const int different = parts == 0 ? ranks : parts;
          const LogicalTensor tensor{"w", shape, {Placement::Kind::kSplit, dim, parts}, true};
          if (ranks % different != 0 || shape[dim] % different != 0) {
            EXPECT_THROW((void)local_part(tensor, 0, ranks), Error);
            continue;
          }
          ++cut;
          std::vector<int> held(static_cast<std::size_t>(shape.num_elements()), 0);
          std::vector<int> first(held.size(), 0);
          for (int rank = 0; rank < ranks; ++rank) {
            for (const std::int64_t i : elements(shape, local_part(tensor, rank, ranks))) {
              ++held[static_cast<std::size_t>(i)];
              first[static_cast<std::size_t>(i)] += is_first_copy(tensor, rank, ranks) ? 1 : 0;
            }
          }
          EXPECT_EQ(held, std::vector<int>(held.size(), copies(tensor, ranks)));
          EXPECT_EQ(first, std::vector<int>(held.size(), 1));
        }
      }
    }
  }
  EXPECT_GT(cut, 100);
}

TEST(Layout, NeighboursShareAPartWhenThereAreFewer) {
  const LogicalTensor heads{"k", Shape{4, 8}, {Placement::Kind::kSplit, 0, 2}, true};
  EXPECT_EQ(copies(heads, 4), 2);
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(local_part(heads, rank, 4).offset, (Shape{rank / 2 * 2, 0}));
    EXPECT_EQ(local_part(heads, rank, 4).shape, (Shape{2, 8}));
    EXPECT_EQ(is_first_copy(heads, rank, 4), rank % 2 == 0);
  }
}

TEST(Layout, ReplicatedIsWholeAndCountsOnce) {
  const LogicalTensor tensor{"norm", Shape{5, 4}, {}, true};
  for (int rank = 0; rank < 6; ++rank) {
    EXPECT_EQ(local_part(tensor, rank, 6).shape, (Shape{5, 4}));
    EXPECT_EQ(local_part(tensor, rank, 6).offset, (Shape{0, 0}));
    EXPECT_EQ(is_first_copy(tensor, rank, 6), rank == 0);
  }
  EXPECT_EQ(copies(tensor, 6), 6);
}

TEST(Layout, HyperslabsAreTheFlatRange) {
  for (const Shape& shape : shapes()) {
    const std::int64_t whole = shape.num_elements();
    for (int dim = 0; dim < shape.rank; ++dim) {
      for (const int ranks : {1, 2, 3}) {
        if (shape[dim] % ranks != 0) {
          continue;
        }
        const LogicalTensor tensor{"w", shape, {Placement::Kind::kSplit, dim}, true};
        const LocalPart part = local_part(tensor, ranks - 1, ranks);
        const auto all = elements(shape, part);
        const std::int64_t count = std::ssize(all);
        ASSERT_EQ(count * ranks, whole);
        for (std::int64_t begin = 0; begin <= count; ++begin) {
          for (std::int64_t end = begin; end <= count; ++end) {
            const auto slabs = hyperslabs_of(part, begin, end);
            ASSERT_LE(std::ssize(slabs), 2 * shape.rank - 1);
            std::vector<std::int64_t> seen;
            for (const LocalPart& slab : slabs) {
              const auto inside = elements(shape, slab);
              ASSERT_FALSE(inside.empty());
              seen.insert(seen.end(), inside.begin(), inside.end());
            }
            ASSERT_EQ(seen, std::vector<std::int64_t>(all.begin() + begin, all.begin() + end))
                << shape.text() << " dim " << dim << " [" << begin << ", " << end << ")";
          }
        }
      }
    }
  }
}

TEST(Layout, ElementsOutsideThePartAreAnInternalError) {
  const LogicalTensor tensor{"w", Shape{2, 3}, {}, true};
  const LocalPart part = local_part(tensor, 0, 1);
  EXPECT_THROW((void)hyperslabs_of(part, -1, 2), Error);
  EXPECT_THROW((void)hyperslabs_of(part, 0, 7), Error);
}

}  // namespace
}  // namespace finescale
