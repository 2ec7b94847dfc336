// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/pipeline_schedule.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <gtest/gtest.h>

namespace finescale {
namespace {

using Actions = std::vector<PipelineAction>;

std::vector<PipelineShape> schedule_shapes() {
  std::vector<PipelineShape> all;
  for (int ranks : {1, 2, 3, 4, 8}) {
    for (int chunks : {1, 2, 3}) {
      for (std::int64_t batches : {1, 2, 3, 4, 5, 7, 8, 16, 17}) {
        all.push_back({ranks, chunks, batches});
      }
    }
  }
  return all;
}

// Carries the orders out with sends that never wait; false when every rank waits for another.
bool completes(const PipelineShape& shape, const std::vector<Actions>& actions) {
  std::set<std::tuple<bool, int, std::int64_t>> done;  // backward, piece, micro-batch
  std::vector<std::size_t> next(actions.size(), 0);
  const int last = shape.ranks * shape.chunks - 1;
  for (bool moved = true; moved;) {
    moved = false;
    for (int rank = 0; rank < shape.ranks; ++rank) {
      const auto r = static_cast<std::size_t>(rank);
      while (next[r] < actions[r].size()) {
        const PipelineAction& a = actions[r][next[r]];
        const int piece = a.chunk * shape.ranks + rank;
        const bool ready =
            a.backward ? done.contains({false, piece, a.micro_batch}) &&
                             (piece == last || done.contains({true, piece + 1, a.micro_batch}))
                       : piece == 0 || done.contains({false, piece - 1, a.micro_batch});
        if (!ready) {
          break;
        }
        done.emplace(a.backward, piece, a.micro_batch);
        ++next[r];
        moved = true;
      }
    }
  }
  return static_cast<std::int64_t>(done.size()) ==
         2 * shape.micro_batches * shape.ranks * shape.chunks;
}

TEST(PipelineSchedule, EveryShapeCompletesWithoutDeadlock) {
  for (const PipelineShape& shape : schedule_shapes()) {
    const PipelineSchedule schedule = make_pipeline_schedule(shape);
    EXPECT_TRUE(completes(shape, schedule.actions))
        << shape.ranks << " ranks, " << shape.chunks << " chunks, " << shape.micro_batches;
  }
}

TEST(PipelineSchedule, TheCheckSeesADeadlock) {
  const PipelineShape shape{2, 1, 2};
  std::vector<Actions> actions = make_pipeline_schedule(shape).actions;
  std::swap(actions[0][0], actions[0].back());  // a backward pass in front of all
  EXPECT_FALSE(completes(shape, actions));
}

TEST(PipelineSchedule, MicroBatchesOfAPieceComeInAscendingOrder) {
  for (const PipelineShape& shape : schedule_shapes()) {
    for (const Actions& actions : make_pipeline_schedule(shape).actions) {
      std::map<std::pair<bool, int>, std::int64_t> next;
      for (const PipelineAction& a : actions) {
        EXPECT_EQ((next[{a.backward, a.chunk}]++), a.micro_batch);
      }
      EXPECT_EQ(std::ssize(actions), 2 * shape.chunks * shape.micro_batches);
    }
  }
}

TEST(PipelineSchedule, PlainIsOneForwardOneBackward) {
  const PipelineSchedule s = make_pipeline_schedule({4, 1, 6});
  for (int rank = 0; rank < 4; ++rank) {
    const Actions& actions = s.actions[static_cast<std::size_t>(rank)];
    const int warmup = 3 - rank;
    for (int i = 0; i < warmup; ++i) {
      EXPECT_FALSE(actions[static_cast<std::size_t>(i)].backward);
    }
    for (int i = 0; i < 2 * (6 - warmup); ++i) {
      EXPECT_EQ(actions[static_cast<std::size_t>(warmup + i)].backward, i % 2 == 1);
    }
    EXPECT_EQ(s.max_in_flight[static_cast<std::size_t>(rank)], 4 - rank);
  }
}

TEST(PipelineSchedule, BubbleIsTheFormulas) {
  for (int ranks : {2, 4, 8}) {
    for (int chunks : {1, 2, 4}) {
      for (int groups : {1, 2, 4}) {
        const std::int64_t batches = std::int64_t{groups} * ranks;
        const double formula =
            (ranks - 1.0) / (static_cast<double>(batches) * chunks + ranks - 1.0);
        EXPECT_NEAR(make_pipeline_schedule({ranks, chunks, batches}).bubble, formula, 1e-12)
            << ranks << " ranks, " << chunks << " chunks, " << batches;
      }
    }
  }
}

TEST(PipelineSchedule, OneRankIsForwardThenBackward) {
  const PipelineSchedule s = make_pipeline_schedule({1, 1, 3});
  const Actions expected = {{false, 0, 0}, {true, 0, 0},  {false, 0, 1},
                            {true, 0, 1},  {false, 0, 2}, {true, 0, 2}};
  EXPECT_EQ(s.actions[0], expected);
  EXPECT_EQ(s.bubble, 0);
}

TEST(SplitLayers, IsEvenWithoutEnds) {
  const std::vector<LayerRange> expected = {{0, 2}, {2, 4}, {4, 6}};
  EXPECT_EQ(split_layers(6, 3, 0, 0), expected);
}
TEST(SplitLayers, TakesLayersFromAPieceWithACostlyEnd) {
  const std::vector<LayerRange> expected = {{0, 4}, {4, 8}, {8, 10}};
  EXPECT_EQ(split_layers(10, 3, 0, 2), expected);
}
TEST(SplitLayers, LargestPieceIsAsSmallAsCanBe) {  // against every split of 9 layers in 3 pieces
  for (double embedding : {0.0, 0.3, 2.5}) {
    for (double head : {0.0, 1.0, 6.0}) {
      double best = 1e9;
      for (int a = 1; a < 8; ++a) {
        for (int b = a + 1; b < 9; ++b) {
          best = std::min(best, std::max({a + embedding, b - a + 0.0, 9 - b + head}));
        }
      }
      const auto ranges = split_layers(9, 3, embedding, head);
      EXPECT_EQ(ranges[0].begin, 0);
      EXPECT_EQ(ranges[2].end, 9);
      EXPECT_DOUBLE_EQ(std::max({ranges[0].end + embedding, ranges[1].end - ranges[1].begin + 0.0,
                                 ranges[2].end - ranges[2].begin + head}),
                       best);
    }
  }
}

}  // namespace
}  // namespace finescale
