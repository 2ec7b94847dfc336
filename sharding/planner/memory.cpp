// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/memory.h"

#include <algorithm>
#include <bit>

namespace finescale::planner {

namespace {

// Elements of a slice that one exchange of the exact tree stages for each foreign node.
constexpr double kRoundElements = 1 << 18;

// Elements of the units of one rank: what is gathered, reduced and updated together.
struct Units {
  double embedding = 0;
  double layer = 0;
  double layers = 0;  // how many
  double last = 0;    // final norm and an untied head
  [[nodiscard]] double sum() const noexcept { return embedding + layer * layers + last; }
  // Largest memory when at most two layers and the others are held whole.
  [[nodiscard]] double slots() const noexcept {
    return embedding + std::min(layers, 2.0) * layer + last;
  }
};

struct Rank {
  Units held;     // all parameters
  Units trained;  // those with gradients
};

Rank units_of(const Workload& w, const Axes& axes, int stage) {
  const ModelShape& m = w.model;
  const bool first = stage == 0;
  const bool last = stage + 1 == axes.pipeline;
  Rank rank;
  // A tied embedding lies on the first and on the last stage.
  rank.held.embedding =
      first || (last && m.tied) ? static_cast<double>(m.embedding(axes.tensor)) : 0;
  rank.held.layers = static_cast<double>(layers_of_stage(m, stage, axes.pipeline));
  rank.held.layer = static_cast<double>(m.layer(axes.tensor));
  rank.held.last =
      last ? static_cast<double>(m.hidden + (m.tied ? 0 : m.embedding(axes.tensor))) : 0;
  if (w.method.trains_base) {
    rank.trained = rank.held;
  } else {
    rank.trained.layers = rank.held.layers;
    rank.trained.layer = static_cast<double>(w.method.adapters_of_layer(m, axes.tensor));
    rank.held.layer += rank.trained.layer;
  }
  return rank;
}

double gradient_bytes(const Workload& w, const Plan& plan, const Units& trained) {
  const int replicas = plan.axes.replicas();
  const std::int64_t leaves = w.exact_sums ? w.batch.micro_batches : 1;
  if (plan.zero < 2) {
    return static_cast<double>(tree_buffers(leaves, replicas).own) * trained.sum() *
           w.bytes.gradient;
  }
  // Whole gradients exist for the units in work only. Sums: the arriving leaves of a round, which
  // are neighbours in the tree, one slice for each level above a round, and the shard's range.
  const std::int64_t rounds = (leaves + replicas - 1) / replicas;
  const double levels = std::bit_width(static_cast<std::uint64_t>(rounds));
  const double slice = trained.sum() / replicas;
  const double range = plan.axes.data > 1 ? trained.sum() / plan.axes.shard : 0;
  return (trained.slots() + levels * slice + trained.layer + range) * w.bytes.gradient;
}

double communication_bytes(const Workload& w, const Plan& plan, const Units& trained) {
  const int replicas = plan.axes.replicas();
  double bytes = 0;
  if (replicas > 1 && plan.zero < 2 && w.exact_sums) {
    bytes += static_cast<double>(tree_buffers(w.batch.micro_batches, replicas).foreign) *
             std::min(kRoundElements, trained.sum() / replicas) * w.bytes.gradient;
  }
  const double row =
      static_cast<double>(w.batch.micro_tokens * w.model.hidden) * w.bytes.activation;
  bytes += plan.axes.tensor > 1 ? row : 0;        // what others send, before it is added
  bytes += plan.axes.pipeline > 1 ? 2 * row : 0;  // one that comes, one that goes
  return bytes;
}

// Gradients of activations while one layer goes backward: two of the stream, one of each other
// width.
double backward_pool(const Workload& w, int tensor) {
  const ModelShape& m = w.model;
  const double query = static_cast<double>(m.query()) / tensor;
  const double key = static_cast<double>(m.local_key(tensor));
  const double c = static_cast<double>(m.hidden);
  return 2 * c + (query == c ? 0 : query) + query + 2 * key +
         static_cast<double>(m.intermediate) / tensor;
}

double activation_bytes(const Workload& w, const Plan& plan, int stage, double layers) {
  const ModelShape& m = w.model;
  const auto c = static_cast<double>(m.hidden);
  const double in_flight = static_cast<double>(std::min<std::int64_t>(
      plan.axes.pipeline - stage,
      (w.batch.micro_batches + plan.axes.replicas() - 1) / plan.axes.replicas()));
  double kept = layers * layer_activations(w, plan);
  kept += stage == 0 ? c : 0;
  kept += stage + 1 == plan.axes.pipeline ? 2 * c + 2 : 0;  // last norm, labelled rows, losses
  double working = backward_pool(w, plan.axes.tensor);
  if (plan.recompute != Recompute::kNone) {  // what is made again for the layer in work
    Plan whole = plan;
    whole.recompute = Recompute::kNone;
    working += layer_activations(w, whole) - layer_activations(w, plan);
  }
  return (in_flight * kept + working) * static_cast<double>(w.batch.micro_tokens) *
         w.bytes.activation;
}

}  // namespace

double layer_activations(const Workload& w, const Plan& plan) {
  const ModelShape& m = w.model;
  const int tensor = plan.axes.tensor;
  const double c = static_cast<double>(m.hidden) / (w.sequence_parallel ? tensor : 1);
  const double query = static_cast<double>(m.query()) / tensor;
  const double key = static_cast<double>(m.local_key(tensor));
  const double inner = static_cast<double>(m.intermediate) / tensor;
  if (plan.recompute == Recompute::kFull) {
    return c;  // the layer's input
  }
  // Two projections onto the stream, which become it; q k v, attention's output and log sums; gate
  // and up; the norms' scales.
  double kept = 2 * c + 2 * query + 2 * key + static_cast<double>(m.heads) / tensor + 2 * inner + 2;
  if (plan.recompute == Recompute::kNone) {
    kept += 2 * c + inner;  // outputs of both norms and of SwiGLU
  }
  if (!w.method.trains_base) {
    kept += 4.0 * static_cast<double>(w.method.rank);  // x A^T of q k v, o, gate up, down: at least
  }
  return kept;
}

Memory memory_of_stage(const Workload& w, const Plan& plan, const Machine& machine, int stage) {
  const Axes& axes = plan.axes;
  const Rank rank = units_of(w, axes, stage);
  const double owned = plan.zero > 0 ? rank.trained.sum() / axes.shard : rank.trained.sum();
  Memory memory;
  memory.base = machine.base_bytes +
                4.0 * static_cast<double>(w.model.positions * w.model.head_dim);  // rotary table
  memory.weights = rank.held.sum() * w.bytes.weight / (plan.zero == 3 ? axes.shard : 1);
  memory.gather = plan.zero == 3 ? rank.held.slots() * w.bytes.weight : 0;
  memory.gradients = gradient_bytes(w, plan, rank.trained);
  memory.optimizer = owned * (w.bytes.optimizer + w.bytes.master);
  memory.activations = activation_bytes(w, plan, stage, rank.held.layers);
  if (stage + 1 == axes.pipeline) {
    const double local_vocab = static_cast<double>(w.model.vocab) / axes.tensor;
    // 2 MiB of logits, at least 64 and at most 1024 rows.
    const double rows =
        w.logits_rows > 0 ? static_cast<double>(w.logits_rows)
                          : std::clamp(2097152.0 / w.bytes.activation / local_vocab, 64.0, 1024.0);
    memory.logits = rows * local_vocab * w.bytes.activation;
  }
  memory.communication = communication_bytes(w, plan, rank.trained);
  return memory;
}

Memory peak_memory(const Workload& w, const Plan& plan, const Machine& machine) {
  Memory peak = memory_of_stage(w, plan, machine, 0);
  // The first stage holds most micro-batches, the last the head; those between less than the first.
  if (plan.axes.pipeline > 1) {
    const Memory last = memory_of_stage(w, plan, machine, plan.axes.pipeline - 1);
    peak = last.total() > peak.total() ? last : peak;
  }
  return peak;
}

}  // namespace finescale::planner
