// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/memory.h"

#include <algorithm>
#include <bit>
#include <set>
#include <vector>

#include "sharding/planner/activations.h"
#include "sharding/planner/gpu_scratch.h"
#include "sharding/reducer_memory.h"

namespace finescale::planner {

namespace {

// The engine counts every number of micro-batches up to the largest; a table of meshes has no time
// for more than these. Beyond them the tree holds one more sum for each doubling.
constexpr std::int64_t kMaxCounted = 64;

// Elements of the engine's window into a file of moments (worker/optim: kWindowElements).
constexpr double kOffloadWindow = 1 << 21;

// Bytes of an operand that the CPU packs for products in bf16, at most (kernels: kPackedPairs).
constexpr double kPackedOperand = 1 << 24;

// One piece of a model as the engine cuts it: the units of its flat block.
struct Units {
  std::vector<UnitRange> ranges;
  int first_layer = 0;
  int layers = 0;
  void add(std::int64_t size) {
    const std::int64_t begin = ranges.empty() ? 0 : ranges.back().end;
    ranges.push_back({begin, begin + size});
  }
  [[nodiscard]] ShardPlan over(int ranks) const { return {ranges, ranks, {first_layer, layers}}; }
};

class Piece {
 public:
  Piece(const Workload& w, const Plan& plan, const Machine& machine, const LayerRange& layers,
        int index)
      : w_(w),
        plan_(plan),
        is_host_apart_(machine.has_device()),
        ranks_(plan.axes.replicas()),
        has_embedding_(index == 0),
        has_head_(index + 1 == plan.pieces()) {
    first_layer_ = layers.begin;
    num_layers_ = layers.end - layers.begin;
    num_frozen_ = static_cast<int>(
        std::clamp<std::int64_t>(w.method.frozen_layers(w.model) - layers.begin, 0, num_layers_));
  }

  // In flight: micro-batches at once. window: those whose part of the head's gradient waits for
  // rows of the first piece.
  void add(Memory& memory, std::int64_t in_flight, std::int64_t window) const {
    add_weights(memory);
    add_gradients(memory, window);
    if (is_shared() && has_embedding_ && trains_table()) {  // its rows on their way
      memory.communication += static_cast<double>(in_flight) *
                              static_cast<double>(w_.batch.micro_tokens * model().hidden) *
                              w_.bytes.gradient;
    }
    add_activations(memory, static_cast<double>(in_flight));
  }

 private:
  [[nodiscard]] const ModelShape& model() const { return w_.model; }
  [[nodiscard]] int tensor() const { return plan_.axes.tensor; }
  [[nodiscard]] std::int64_t table() const { return model().embedding(tensor()); }
  [[nodiscard]] std::int64_t head() const {
    return model().tied ? table() : model().head(tensor());
  }
  [[nodiscard]] bool trains_table() const {
    return w_.method.trains_base && w_.method.last_layers == 0;
  }
  // A tied embedding lies on the first and on the last piece: the last one sums and updates it.
  [[nodiscard]] bool is_shared() const { return model().tied && plan_.axes.pipeline > 1; }
  [[nodiscard]] bool has_head_copy() const { return is_shared() && has_head_ && trains_table(); }

  [[nodiscard]] Units units(std::int64_t embedding, std::int64_t positions, std::int64_t layer,
                            std::int64_t norm, std::int64_t head, bool only_trained) const {
    return units(
        embedding, positions, [&](int i) { return only_trained && i < num_frozen_ ? 0 : layer; },
        norm, head);
  }
  template <class LayerSize>
  [[nodiscard]] Units units(std::int64_t embedding, std::int64_t positions,
                            const LayerSize& layer_size, std::int64_t norm,
                            std::int64_t head) const {
    Units all;
    if (has_embedding_) {
      all.add(embedding);
    }
    if (has_embedding_ && model().learned_positions) {
      all.add(positions);
    }
    all.first_layer = static_cast<int>(all.ranges.size());
    all.layers = num_layers_;
    for (int i = 0; i < num_layers_; ++i) {
      all.add(layer_size(i));
    }
    if (has_head_) {
      all.add(norm + (model().tied ? 0 : head));
      if (is_shared()) {
        all.add(head);
      }
    }
    return all;
  }
  [[nodiscard]] Units held() const {
    return units(table(), model().position_table(),
                 model().layer(tensor()) - (is_quantised() ? model().layer_matrices(tensor()) : 0),
                 model().norm(), head(), false);
  }
  [[nodiscard]] bool is_quantised() const { return w_.method.block_bytes > 0; }
  // Of this piece's layer i.
  [[nodiscard]] const ChosenElements& chosen_of(int i) const {
    return w_.method.choice
        ->layers[static_cast<std::size_t>(first_layer_) + static_cast<std::size_t>(i)];
  }
  // What is summed as layers are.
  [[nodiscard]] Units trained() const {
    if (const auto& choice = w_.method.choice) {
      const auto size = [&](const ChosenElements& unit) { return unit.at(model(), tensor()); };
      return units(
          size(choice->embedding), size(choice->positions),
          [&](int i) { return size(chosen_of(i)); }, size(choice->final), 0);
    }
    if (!w_.method.trains_base) {
      return units(w_.method.prompt_elements(model()), 0,
                   w_.method.adapters_of_layer(model(), tensor()), 0, 0, true);
    }
    if (!trains_table()) {  // nor a tied head
      return units(0, 0, model().layer(tensor()), model().norm(), head(), true);
    }
    return units(is_shared() ? 0 : table(), model().position_table(), model().layer(tensor()),
                 model().norm(), is_shared() ? 0 : head(), true);
  }
  // The engine keeps places for the gradients of layers in front of the first that trains.
  [[nodiscard]] Units summed() const {
    if (!w_.method.trains_base || trains_table()) {
      return trained();
    }
    return units(0, 0, model().layer(tensor()), model().norm(), head(), false);
  }
  static double size(const Units& units) {
    return units.ranges.empty() ? 0 : static_cast<double>(units.ranges.back().end);
  }

  // What products multiply by and does not train. An untied head trains with the last layers.
  [[nodiscard]] std::int64_t frozen_matrices() const {
    if (const auto& choice = w_.method.choice) {
      std::int64_t idle = has_head_ ? choice->final.idle / tensor() : 0;
      for (int i = 0; i < num_layers_; ++i) {
        idle += chosen_of(i).idle / tensor();
      }
      return idle;
    }
    const int layers = w_.method.trains_base ? num_frozen_ : num_layers_;
    const bool head = has_head_ && (!w_.method.trains_base || (model().tied && !trains_table()));
    return (is_quantised() ? 0 : layers * model().layer_matrices(tensor())) + (head ? table() : 0);
  }

  // Each element that trains has a row and a column beside it.
  [[nodiscard]] bool has_places() const { return w_.method.choice && w_.method.choice->dense > 0; }
  [[nodiscard]] double measured() const {
    double elements = 0;
    for (int i = 0; w_.method.choice && i < num_layers_; ++i) {
      elements += static_cast<double>(chosen_of(i).measured);
    }
    return elements / tensor();
  }

 public:
  // Forward passes of micro-batches of so many tokens.
  void add_passes(Memory& memory, std::int64_t tokens) const {
    add_tapes(memory, 1, tokens, false);
  }
  void add_weights(Memory& memory) const {
    const ShardPlan plan = held().over(plan_.axes.shard);
    const double copies = w_.keeps_base ? 2 : 1;
    double kept = size(held());
    if (plan_.zero == 3) {
      kept /= plan_.axes.shard;
      for (const std::int64_t place : plan.place_sizes()) {
        memory.gather += copies * static_cast<double>(place) * w_.bytes.weight;
      }
    }
    const double adapters =  // whole on every rank
        w_.method.trains_base ? 0
                              : size(trained()) * (has_places() ? 3 : 1) +
                                    static_cast<double>(num_layers_ * w_.method.constants_of_layer(
                                                                          model(), tensor())) +
                                    static_cast<double>(w_.method.random_elements(model()));
    memory.weights += (copies * kept + adapters) * w_.bytes.weight;
    if (is_quantised()) {  // on every rank of data and shard axes
      memory.weights += num_layers_ * w_.method.quantised_bytes(model(), tensor());
    }
    if (plan_.zero < 3) {
      memory.weights += static_cast<double>(frozen_matrices()) * w_.bytes.rounded;
      if (w_.bytes.rounded > 0 && w_.bytes.rounded_alone && !is_host_apart_) {
        const bool is_tied = has_head_ && has_embedding_ && model().tied;
        const std::int64_t looked_up = is_tied && !w_.bytes.rounded_table ? table() : 0;
        memory.weights -= static_cast<double>(frozen_matrices() - looked_up) * w_.bytes.weight;
        if (w_.bytes.rounded_table && has_embedding_ && !is_tied) {
          memory.weights -= static_cast<double>(table()) * (w_.bytes.weight - w_.bytes.rounded);
        }
      }
    }
    if (is_host_apart_ && plan_.zero < 3) {  // of what trains, for a step
      const std::int64_t layers =
          is_quantised() ? 0 : num_layers_ * model().layer_matrices(tensor());
      memory.weights += static_cast<double>(layers + (has_head_ ? head() : 0) - frozen_matrices()) *
                        w_.bytes.rounded;
    }
    if (!model().learned_positions) {  // rotary tables, of whole heads at most
      memory.base += 4.0 * static_cast<double>(model().positions * model().head_dim);
    }
  }

 private:
  void add_reducer(Memory& memory, const Units& units) const {
    const ShardPlan plan = units.over(ranks_);
    const std::int64_t leaves = w_.exact_sums ? w_.batch.micro_batches : 1;
    // Many ranks: their nodes are counted for fewer micro-batches.
    const std::int64_t counted = std::min(
        leaves, std::max<std::int64_t>(8, std::min(kMaxCounted, std::int64_t{2048} / ranks_)));
    ReducerMemory most;
    for (const int rank : std::set<int>{0, ranks_ / 2, ranks_ - 1}) {
      const ReducerMemory m = reducer_memory(plan, reducer_stage(), plan_.axes.data, rank, counted);
      most = m.total() > most.total() ? m : most;
    }
    const int doublings = static_cast<int>(std::bit_width(
                              static_cast<std::uint64_t>((leaves + counted - 1) / counted))) -
                          1;
    const double more = doublings * size(units) / (reducer_stage() >= 2 ? ranks_ : 1);
    memory.gradients +=
        (static_cast<double>(most.leaves + most.result + most.sums) + more) * w_.bytes.gradient;
    if (w_.exact_sums) {
      memory.communication += static_cast<double>(most.staging) * w_.bytes.gradient;
    }
  }
  // Adapters are kept whole, and summed in rounds only where units of the base are gathered in
  // them.
  [[nodiscard]] int reducer_stage() const {
    if (w_.method.trains_base) {
      return plan_.zero;
    }
    return plan_.zero == 3 ? 2 : std::min(plan_.zero, 1);
  }

  void add_gradients(Memory& memory, std::int64_t window) const {
    double updated = size(trained());
    add_reducer(memory, summed());
    memory.gradients += measured() * sizeof(double);
    if (has_head_copy()) {
      Units head;
      head.add(table());
      add_reducer(memory, head);
      const double buffers = static_cast<double>(window * table());
      memory.gradients += buffers * w_.bytes.gradient;
      memory.communication +=
          static_cast<double>(w_.batch.micro_tokens * model().hidden) * w_.bytes.gradient;
      updated += static_cast<double>(table());
    }
    // Values and state, and the best values; each replica writes its share. Packed state is
    // expanded. What lies in a file is written from there, and a device is copied to its host.
    const double moments = w_.bytes.packed_state ? 2 * w_.bytes.weight : w_.bytes.optimizer;
    if (plan_.offload != Offload::kDisk && !is_host_apart_) {
      memory.snapshot += updated / (plan_.axes.data * plan_.axes.shard) *
                         ((w_.keeps_best ? 2 : 1) * w_.bytes.weight + moments);
    }
    updated /= plan_.zero > 0 ? plan_.axes.shard : 1;
    memory.optimizer += optimizer_bytes(updated) + w_.update_bytes;
    memory.weights += w_.keeps_best ? updated * w_.bytes.weight : 0;
    if (tensor() > 1 && w_.method.trains_base) {  // what all hold: partial gradients, packed
      const double vectors =
          static_cast<double>((num_layers_ - num_frozen_) * model().shared_vectors() +
                              (has_head_ ? model().norm() : 0) +
                              (has_embedding_ && trains_table() ? model().position_table() : 0));
      memory.communication += vectors * w_.bytes.gradient / (plan_.zero > 0 ? plan_.axes.shard : 1);
    }
  }

  [[nodiscard]] double optimizer_bytes(double updated) const {
    const double all = updated * (w_.bytes.optimizer + w_.bytes.master);
    switch (plan_.offload) {
      case Offload::kNone:
        break;
      case Offload::kHost:
        return is_host_apart_ ? 0 : all;
      case Offload::kDisk:  // one is read ahead
        return std::min(all, 2 * kOffloadWindow * w_.bytes.optimizer);
    }
    return all;
  }

  void add_tapes(Memory& memory, double count, std::int64_t tokens, bool training) const {
    Plan plan = plan_;
    if (plan.recompute == Recompute::kNone && !is_host_apart_ && tensor() == 1) {
      plan.recompute = Recompute::kSelective;  // the engine does so where it costs nothing
    }
    PieceShape shape{static_cast<double>(num_layers_), has_embedding_, has_head_};
    shape.frozen_layers = has_embedding_ ? num_frozen_ : 0;  // of others the gradient goes on
    const TapeElements tape = tape_elements(w_, plan, shape, tokens, training, is_host_apart_);
    if (is_host_apart_) {
      memory.activations += count * gpu_tape_ids(tokens);
      memory.scratch =
          std::max(memory.scratch, gpu_operation_scratch(w_, plan, shape, tokens, training));
    }
    memory.activations += count * tape.activations * w_.bytes.activation;
    if (training && has_places()) {  // the whole gradient of one matrix
      memory.activations += count * w_.method.choice->dense / tensor() * w_.bytes.gradient;
    }
    memory.activations += count * static_cast<double>(w_.method.made_elements(model(), tensor())) *
                          w_.bytes.activation;
    memory.logits += count * tape.logits * w_.bytes.activation;
  }
  void add_activations(Memory& memory, double in_flight) const {
    add_tapes(memory, in_flight, w_.batch.micro_tokens, true);
    if (w_.eval_tokens > 0) {
      add_passes(memory, w_.eval_tokens);
    }
  }

  const Workload& w_;
  const Plan& plan_;
  bool is_host_apart_;
  int ranks_;
  bool has_embedding_;
  bool has_head_;
  int first_layer_ = 0;
  int num_layers_ = 0;
  int num_frozen_ = 0;  // the first of them
};

}  // namespace

namespace {

// Weights, the tapes of forward passes, and where the head is the states in front of it of all of
// a rank's micro-batches.
void add_teacher(const Workload& w, const Plan& plan, const Machine& machine, int stage,
                 Memory& memory) {
  const Workload teacher = teacher_workload(w);
  const Pieces pieces = make_pieces(teacher, plan);
  for (int chunk = 0; chunk < plan.interleave; ++chunk) {
    const int index = chunk * plan.axes.pipeline + stage;
    const Piece piece(teacher, plan, machine, pieces.layers[static_cast<std::size_t>(index)],
                      index);
    if (w.keeps_teacher) {
      piece.add_weights(memory);
    }
    piece.add_passes(memory, w.batch.micro_tokens);
    if (index + 1 == plan.pieces()) {
      memory.activations += static_cast<double>(rounds_of(w, plan.axes) * w.batch.micro_tokens *
                                                teacher.model.hidden) *
                            w.bytes.activation;
    }
  }
}

}  // namespace

Memory memory_of_stage(const Workload& w, const Plan& plan, const Pieces& pieces,
                       const Machine& machine, int stage) {
  Memory memory;
  const bool packs = w.bytes.rounded > 0 && !machine.has_device();
  memory.base = machine.base_bytes + (packs ? kPackedOperand : 0);
  const std::int64_t window = most_in_flight(pieces.schedule.actions.front(), 0);
  for (int chunk = 0; chunk < plan.interleave; ++chunk) {
    const int index = chunk * plan.axes.pipeline + stage;
    const std::int64_t in_flight =
        most_in_flight(pieces.schedule.actions[static_cast<std::size_t>(stage)], chunk);
    Piece(w, plan, machine, pieces.layers[static_cast<std::size_t>(index)], index)
        .add(memory, in_flight, window);
  }
  if (w.teacher) {
    add_teacher(w, plan, machine, stage, memory);
  }
  return memory;
}

Memory memory_of_stage(const Workload& w, const Plan& plan, const Machine& machine, int stage) {
  return memory_of_stage(w, plan, make_pieces(w, plan), machine, stage);
}

// The first coordinate has most micro-batches in flight, the last one the head; the second more
// layers than the last and no embedding to lend.
Memory peak_memory(const Workload& w, const Plan& plan, const Pieces& pieces,
                   const Machine& machine) {
  Memory peak;
  const int last = plan.axes.pipeline - 1;
  for (const int stage : std::set<int>{0, std::min(1, last), last}) {
    const Memory memory = memory_of_stage(w, plan, pieces, machine, stage);
    peak = memory.total() > peak.total() ? memory : peak;
  }
  return peak;
}

Memory peak_memory(const Workload& w, const Plan& plan, const Machine& machine) {
  return peak_memory(w, plan, make_pieces(w, plan), machine);
}

}  // namespace finescale::planner
