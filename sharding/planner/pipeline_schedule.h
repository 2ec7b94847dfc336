// SPDX-License-Identifier: Apache-2.0
// Who computes which micro-batch when: 1F1B (Narayanan et al. 2019) and interleaved 1F1B (Narayanan
// et al. 2021), for any number of micro-batches. Pure: every rank computes the whole schedule and
// takes its own part, so all agree. A pipeline of P ranks with v chunks a rank has P v pieces;
// piece i is chunk i / P of rank i % P.
#pragma once

#include <cstdint>
#include <vector>

namespace finescale {

struct PipelineShape {
  int ranks = 1;
  int chunks = 1;  // pieces of each rank; 1: plain 1F1B
  std::int64_t micro_batches = 1;
};
struct PipelineAction {
  bool backward = false;
  int chunk = 0;
  std::int64_t micro_batch = 0;
  friend bool operator==(const PipelineAction&, const PipelineAction&) = default;
};
struct PipelineSchedule {
  std::vector<std::vector<PipelineAction>> actions;  // by rank, in order
  double makespan = 0;  // of the step, when a piece's forward takes 1 and its backward 2
  // Share of the ranks' time without work: (P - 1) / (M v + P - 1) where M is a multiple of P.
  double bubble = 0;
  // Forward passes of a rank whose backward is still to come, at most: what its activations cost.
  std::vector<int> max_in_flight;
};

// Of one piece, micro-batches go forward and backward in ascending order. The orders are free of
// deadlock when sends do not wait for their receivers.
[[nodiscard]] PipelineSchedule make_pipeline_schedule(const PipelineShape& shape);

// Forward passes of a chunk whose backward is still to come, at most, and at least one.
[[nodiscard]] std::int64_t most_in_flight(const std::vector<PipelineAction>& actions, int chunk);

// Layers [begin, end) of each piece: contiguous, at least one each, the costliest piece as cheap as
// can be and the rest as even as can be. Costs of embedding and head in units of one layer.
struct LayerRange {
  int begin = 0;
  int end = 0;
  friend bool operator==(const LayerRange&, const LayerRange&) = default;
};
[[nodiscard]] std::vector<LayerRange> split_layers(int num_layers, int pieces, double embedding,
                                                   double head);

}  // namespace finescale
