// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/pipeline_schedule.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

constexpr double kForwardTime = 1;
constexpr double kBackwardTime = 2;
constexpr double kNever = std::numeric_limits<double>::infinity();

// The k-th pass of a rank in one direction: groups of P micro-batches go through chunk 0, then
// through chunk 1, ...; backward through the last chunk first.
std::vector<PipelineAction> passes(const PipelineShape& shape, bool backward) {
  std::vector<PipelineAction> order;
  for (std::int64_t first = 0; first < shape.micro_batches; first += shape.ranks) {
    const std::int64_t last = std::min<std::int64_t>(first + shape.ranks, shape.micro_batches);
    for (int i = 0; i < shape.chunks; ++i) {
      for (std::int64_t m = first; m < last; ++m) {
        order.push_back({backward, backward ? shape.chunks - 1 - i : i, m});
      }
    }
  }
  return order;
}

// Forward passes of a rank before its first backward pass (Narayanan et al. 2021).
std::int64_t warmup_of(const PipelineShape& shape, int rank, std::int64_t raised_by) {
  const std::int64_t passes = std::int64_t{shape.chunks} * shape.micro_batches;
  const std::int64_t warmup =
      shape.chunks == 1
          ? shape.ranks - rank - 1
          : 2 * (shape.ranks - rank - 1) + (std::int64_t{shape.chunks} - 1) * shape.ranks;
  return std::min(passes, warmup + raised_by);
}

// Forward passes to warm up, then one forward, one backward, then what is left.
std::vector<PipelineAction> order_of(const PipelineShape& shape, std::int64_t warmup) {
  const std::vector<PipelineAction> forward = passes(shape, false);
  const std::vector<PipelineAction> backward = passes(shape, true);
  std::vector<PipelineAction> order(forward.begin(), forward.begin() + warmup);
  for (std::size_t i = 0; i < backward.size(); ++i) {
    if (const std::size_t next = i + static_cast<std::size_t>(warmup); next < forward.size()) {
      order.push_back(forward[next]);
    }
    order.push_back(backward[i]);
  }
  return order;
}

// Plays the orders of all ranks with sends that wait for nobody.
class Play {
 public:
  Play(const PipelineShape& shape, const std::vector<std::vector<PipelineAction>>& orders)
      : shape_(shape), orders_(orders) {
    const auto pieces = static_cast<std::size_t>(shape.ranks * shape.chunks);
    const auto count = static_cast<std::size_t>(shape.micro_batches);
    done_.fill(std::vector<std::vector<double>>(pieces, std::vector<double>(count, kNever)));
  }

  // When the last pass ends; infinite when every rank waits for another.
  double run() {
    std::vector<std::size_t> next(orders_.size(), 0);
    std::vector<double> free_at(orders_.size(), 0);
    std::size_t left = 2 * passes(shape_, false).size() * orders_.size();
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t rank = 0; rank < orders_.size(); ++rank) {
        for (; next[rank] < orders_[rank].size(); ++next[rank], --left, moved = true) {
          const PipelineAction& action = orders_[rank][next[rank]];
          const double begin = std::max(free_at[rank], ready_at(static_cast<int>(rank), action));
          if (begin == kNever) {
            break;
          }
          free_at[rank] = begin + (action.backward ? kBackwardTime : kForwardTime);
          at(action.backward, piece_of(static_cast<int>(rank), action), action.micro_batch) =
              free_at[rank];
        }
      }
    }
    return left > 0 ? kNever : *std::max_element(free_at.begin(), free_at.end());
  }

 private:
  [[nodiscard]] int piece_of(int rank, const PipelineAction& action) const {
    return action.chunk * shape_.ranks + rank;
  }
  double& at(bool backward, int piece, std::int64_t micro_batch) {
    return done_[static_cast<std::size_t>(backward)][static_cast<std::size_t>(piece)]
                [static_cast<std::size_t>(micro_batch)];
  }
  // When what the pass needs is there; infinite while nobody has begun it. A backward pass that has
  // its gradient has its own forward pass too: the gradient came through all later pieces.
  double ready_at(int rank, const PipelineAction& action) {
    const int piece = piece_of(rank, action);
    const bool is_last = piece == shape_.ranks * shape_.chunks - 1;
    if (!action.backward) {
      return piece == 0 ? 0 : at(false, piece - 1, action.micro_batch);
    }
    return is_last ? at(false, piece, action.micro_batch) : at(true, piece + 1, action.micro_batch);
  }

  PipelineShape shape_;
  const std::vector<std::vector<PipelineAction>>& orders_;
  std::array<std::vector<std::vector<double>>, 2> done_;  // [backward][piece][micro-batch]
};

int open_passes(const std::vector<PipelineAction>& order) {
  int open = 0;
  int most = 0;
  for (const PipelineAction& action : order) {
    open += action.backward ? -1 : 1;
    most = std::max(most, open);
  }
  return most;
}

}  // namespace

PipelineSchedule make_pipeline_schedule(const PipelineShape& shape) {
  FS_CHECK(shape.ranks > 0 && shape.chunks > 0 && shape.micro_batches > 0,
           "a pipeline of nothing has no schedule");
  PipelineSchedule schedule;
  // A last group of fewer than P micro-batches can leave every rank waiting: then all warm up
  // longer.
  for (std::int64_t raised_by = 0;; ++raised_by) {
    schedule.actions.clear();
    for (int rank = 0; rank < shape.ranks; ++rank) {
      schedule.actions.push_back(order_of(shape, warmup_of(shape, rank, raised_by)));
    }
    schedule.makespan = Play(shape, schedule.actions).run();
    if (schedule.makespan < kNever) {
      break;
    }
  }
  for (const auto& order : schedule.actions) {
    schedule.max_in_flight.push_back(open_passes(order));
  }
  const double work = static_cast<double>(shape.chunks) * static_cast<double>(shape.micro_batches) *
                      (kForwardTime + kBackwardTime);
  schedule.bubble = 1 - work / schedule.makespan;
  return schedule;
}

std::int64_t most_in_flight(const std::vector<PipelineAction>& actions, int chunk) {
  std::int64_t open = 0;
  std::int64_t most = 1;
  for (const PipelineAction& action : actions) {
    if (action.chunk == chunk) {
      open += action.backward ? -1 : 1;
      most = std::max(most, open);
    }
  }
  return most;
}

std::vector<LayerRange> split_layers(int num_layers, int pieces, double embedding, double head) {
  FS_CHECK(pieces > 0 && num_layers >= pieces, "every piece needs a layer");
  struct Best {
    double largest = kNever;
    double squares = kNever;  // of the costs: among equal maxima the most even split wins
    int cut = 0;
  };
  const auto cost = [&](int piece, int begin, int end) {
    return end - begin + (piece == 0 ? embedding : 0) + (piece == pieces - 1 ? head : 0);
  };
  // best[p][l]: layers [0, l) in the first p pieces.
  std::vector<std::vector<Best>> best(static_cast<std::size_t>(pieces) + 1,
                                      std::vector<Best>(static_cast<std::size_t>(num_layers) + 1));
  best[0][0] = {0, 0, 0};
  for (int piece = 0; piece < pieces; ++piece) {
    for (int end = piece + 1; end <= num_layers; ++end) {
      Best& to = best[static_cast<std::size_t>(piece) + 1][static_cast<std::size_t>(end)];
      for (int begin = piece; begin < end; ++begin) {
        const Best& from = best[static_cast<std::size_t>(piece)][static_cast<std::size_t>(begin)];
        const double own = cost(piece, begin, end);
        const Best with{std::max(from.largest, own), from.squares + own * own, begin};
        if (std::pair(with.largest, with.squares) < std::pair(to.largest, to.squares)) {
          to = with;
        }
      }
    }
  }
  std::vector<LayerRange> ranges(static_cast<std::size_t>(pieces));
  int end = num_layers;
  for (int piece = pieces - 1; piece >= 0; --piece) {
    const int begin = best[static_cast<std::size_t>(piece) + 1][static_cast<std::size_t>(end)].cut;
    ranges[static_cast<std::size_t>(piece)] = {begin, end};
    end = begin;
  }
  return ranges;
}

}  // namespace finescale
