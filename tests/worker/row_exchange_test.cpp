// SPDX-License-Identifier: Apache-2.0
#include "worker/model/row_exchange.h"

#include <vector>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/parallel.h"
#include "tests/sharding/tree_reference.h"

namespace finescale {
namespace {

constexpr std::int64_t kRowWidth = 9;

std::vector<float> values_of(int rank, std::int64_t count) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(leaf_value<float>(rank, i));
  }
  return values;
}

void expect_rows(Group& group, std::int64_t tokens, const std::vector<float>& expected) {
  RowExchange exchange(&group, Stream());
  auto full = values_of(group.rank(), tokens * kRowWidth);
  const TensorView all(full.data(), DType::kF32, Shape{tokens, kRowWidth});
  const TensorView own = exchange.own(all);
  const std::int64_t first = exchange.begin(tokens, group.rank()) * kRowWidth;
  std::vector<float> sums(static_cast<std::size_t>(own.num_elements()) + 1);
  const TensorView sum(sums.data(), DType::kF32, own.shape);
  std::vector<std::vector<float>> memory(static_cast<std::size_t>(group.size() - 1));
  std::vector<TensorView> received;
  for (std::vector<float>& buffer : memory) {
    buffer.resize(sums.size());
    received.emplace_back(buffer.data(), DType::kF32, own.shape);
  }
  const std::uint64_t before = group.bytes_sent();
  exchange.reduce_scatter(all, received, sum);
  EXPECT_EQ(group.bytes_sent() - before,
            static_cast<std::uint64_t>(4 * (tokens * kRowWidth - own.num_elements())));
  for (std::int64_t i = 0; i < sum.num_elements(); ++i) {
    ASSERT_EQ(sum.as<float>()[i], expected[static_cast<std::size_t>(first + i)]);
    own.as<float>()[i] = sum.as<float>()[i];
  }
  exchange.all_gather(all);
  ASSERT_EQ(full, expected);
}

TEST(RowExchange, SumsInTheTreeOverRanksAndGathersBack) {
  for (int ranks = 2; ranks <= 6; ++ranks) {
    for (const std::int64_t tokens : {1, 3, 7, 50}) {  // ranks without a row too
      const auto expected = naive_tree<float>(ranks, tokens * kRowWidth);
      run_local_ranks(ranks, [&](Group& group) {
        set_num_threads(1);
        expect_rows(group, tokens, expected);
      });
    }
  }
}

}  // namespace
}  // namespace finescale
