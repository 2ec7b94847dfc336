// SPDX-License-Identifier: Apache-2.0
#include "kernels/entries.h"

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using EntriesOf = Kernel;

// Places of a whole matrix [6, 9]; the part is rows 2..5, columns 3..8.
constexpr std::int64_t kFirstRow = 2;
constexpr std::int64_t kFirstColumn = 3;
constexpr std::int64_t kRows = 3;
constexpr std::int64_t kColumns = 5;
const std::vector<std::pair<int, int>> kPlaces = {{2, 3}, {0, 0}, {4, 7}, {2, 8}, {5, 4}, {3, 5}};

Tensor places_in(DType dtype) {
  Tensor places(dtype, std::ssize(kPlaces), 2);
  for (std::size_t i = 0; i < kPlaces.size(); ++i) {
    places.set(static_cast<std::int64_t>(i), 0, kPlaces[i].first);
    places.set(static_cast<std::int64_t>(i), 1, kPlaces[i].second);
  }
  return places;
}

bool is_inside(const std::pair<int, int>& place) {
  return place.first >= kFirstRow && place.first < kFirstRow + kRows &&
         place.second >= kFirstColumn && place.second < kFirstColumn + kColumns;
}

TEST_P(EntriesOf, AreAddedWhereThePartHasThem) {
  Tensor places = places_in(dtype());
  Tensor part(dtype(), kRows, kColumns, 2);
  part.random(1);
  Tensor values(dtype(), std::ssize(kPlaces), 1);
  values.random(2);
  const Tensor before = values;
  gather_entries(stream_, {places.view(), kFirstRow, kFirstColumn}, part.view(), values.view());
  for (std::size_t i = 0; i < kPlaces.size(); ++i) {
    const auto [row, column] = kPlaces[i];
    const auto at = static_cast<std::int64_t>(i);
    const double added =
        is_inside(kPlaces[i]) ? part.at(row - kFirstRow, column - kFirstColumn) : 0;
    EXPECT_NEAR(values.at(at, 0), before.at(at, 0) + added, 1e-6);
  }
}

TEST_P(EntriesOf, AreWrittenIntoWhateverRangeIsKept) {
  Tensor places = places_in(dtype());
  Tensor values(dtype(), std::ssize(kPlaces), 1);
  values.random(2);
  for (const auto& [begin, end] : {std::pair{0, 15}, {3, 11}, {14, 15}}) {
    Tensor kept(dtype(), 0, end - begin);
    scatter_entries(stream_, {places.view(), kFirstRow, kFirstColumn}, values.view(), kColumns,
                    begin, kept.view());
    for (std::int64_t i = begin; i < end; ++i) {
      double wanted = 0;
      for (std::size_t k = 0; k < kPlaces.size(); ++k) {
        const auto [row, column] = kPlaces[k];
        if (is_inside(kPlaces[k]) && (row - kFirstRow) * kColumns + column - kFirstColumn == i) {
          wanted = values.at(static_cast<std::int64_t>(k), 0);
        }
      }
      EXPECT_EQ(kept.at(i - begin), wanted) << i;
    }
  }
}

TEST_P(EntriesOf, SumsInStepsHaveNoOrder) {
  Tensor a(dtype(), 4, 7);
  Tensor b(dtype(), 4, 7);
  Tensor c(dtype(), 4, 7);
  a.random(1, 3);
  b.random(2, 1e-3);
  c.random(3, 1e-6);
  const auto sum = [&](std::initializer_list<Tensor*> parts) {
    Tensor sums(DType::kF64, 4, 7);
    for (Tensor* part : parts) {
      add_in_steps(stream_, part->view(), sums.view());
    }
    return sums;
  };
  const Tensor left = sum({&a, &b, &c});
  EXPECT_TRUE(left.bytes() == sum({&c, &a, &b}).bytes());
  for (std::int64_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(left.at(i, 2) * kSumStep, a.at(i, 2) + b.at(i, 2) + c.at(i, 2), 2 * kSumStep);
  }
}

FINESCALE_FOR_ALL_TARGETS(EntriesOf);

}  // namespace
}  // namespace finescale
