// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/step_time.h"

#include <algorithm>

#include "sharding/planner/activations.h"

namespace finescale::planner {

namespace {

// What a ring sends for one collective: each rank (n - 1) / n of the whole.
double ring(double whole_bytes, int ranks) {
  return whole_bytes * (ranks - 1) / ranks;
}

class Model {
 public:
  Model(const Workload& w, const Plan& plan, const Pieces& pieces, const Machine& machine)
      : w_(w), m_(w.model), plan_(plan), axes_(plan.axes), pieces_(pieces), machine_(machine) {
    rounds_ = static_cast<double>(rounds_of(w, axes_));
    tokens_ = w.batch.tokens / static_cast<double>(w.batch.micro_batches);
  }

  StepTime run() {
    StepTime out;
    double forward = 0;
    double backward = 0;
    for (int stage = 0; stage < axes_.pipeline; ++stage) {
      const double f = forward_seconds(stage);
      const double b = backward_seconds(stage, f);
      if (f + b > forward + backward) {
        forward = f;
        backward = b;
      }
    }
    out.compute = rounds_ * (forward + backward);
    out.compute += w_.teacher ? teacher_seconds() : 0;
    out.bubble = out.compute * pieces_.schedule.bubble / (1 - pieces_.schedule.bubble);
    add_tensor(out);
    add_pipeline(out);
    add_replica(out, forward, backward);
    add_update(out);
    return out;
  }

 private:
  [[nodiscard]] double local_layers(int stage) const {
    int layers = 0;
    for (int chunk = 0; chunk < plan_.interleave; ++chunk) {
      const int piece = chunk * axes_.pipeline + stage;
      const LayerRange& range = pieces_.layers[static_cast<std::size_t>(piece)];
      layers += range.end - range.begin;
    }
    return layers;
  }
  [[nodiscard]] double trained_layer() const {
    if (w_.method.choice) {  // a mean, the tables included
      return static_cast<double>(w_.method.choice->elements(m_, axes_.tensor)) /
             static_cast<double>(std::max<std::int64_t>(1, m_.layers));
    }
    return static_cast<double>(w_.method.trains_base
                                   ? m_.layer(axes_.tensor)
                                   : w_.method.adapters_of_layer(m_, axes_.tensor));
  }
  // Elements of the first stage, which holds the embedding.
  [[nodiscard]] double trained() const {
    return local_layers(0) * trained_layer() +
           static_cast<double>(w_.method.trains_base ? m_.embedding(axes_.tensor)
                                                     : w_.method.prompt_elements(m_));
  }
  [[nodiscard]] double held() const {
    return local_layers(0) * static_cast<double>(m_.layer(axes_.tensor)) +
           static_cast<double>(m_.embedding(axes_.tensor));
  }

  [[nodiscard]] double gemm_seconds(double elements) const {  // of one pass over the matrices
    const double rows = tokens_ + static_cast<double>(w_.method.rows());
    return 2 * rows * elements / machine_.gemm_rate(rows);
  }
  [[nodiscard]] double attention_seconds() const {  // forward, causal
    const double seen = w_.batch.context + 2 * static_cast<double>(w_.method.virtual_tokens);
    return 2 * tokens_ * seen * static_cast<double>(m_.query()) / axes_.tensor /
           machine_.attention_flops_per_s;
  }
  // One micro-batch after the other through all stages, the slowest of which counts.
  [[nodiscard]] double teacher_seconds() const {
    const Workload teacher = teacher_workload(w_);
    const Pieces pieces = make_pieces(teacher, plan_);
    const Model model(teacher, plan_, pieces, machine_);
    double forward = 0;
    for (int stage = 0; stage < axes_.pipeline; ++stage) {
      forward = std::max(forward, model.forward_seconds(stage));
    }
    return rounds_ * forward;
  }
  // Norms, rotations, SwiGLU, sums of a layer: each value is written once and read about twice. Of
  // the 6 C two are outputs of norms, which are stored as operands are.
  [[nodiscard]] double traffic_seconds() const {
    const double part = operand_part(w_.bytes, machine_.has_device());
    const double c = static_cast<double>(m_.hidden) / (w_.sequence_parallel ? axes_.tensor : 1);
    const auto heads_and_inner =
        static_cast<double>(2 * m_.query() + m_.matrices_of_inner() * m_.intermediate);
    const double elements = (4 + 2 * part) * c + part * heads_and_inner / axes_.tensor;
    return 2 * elements * tokens_ * w_.bytes.activation / machine_.memory_bandwidth;
  }
  // Of one value to the operands' type by a pass of its own; the CPU packs as it multiplies.
  [[nodiscard]] double rounding_seconds(double elements, double bytes) const {
    return w_.bytes.rounded > 0 && machine_.has_device()
               ? elements * (bytes + w_.bytes.rounded) / machine_.memory_bandwidth
               : 0;
  }
  [[nodiscard]] double head_elements(int stage) const {
    return stage + 1 == axes_.pipeline
               ? w_.batch.label_fraction * static_cast<double>(m_.embedding(axes_.tensor))
               : 0;
  }

  [[nodiscard]] double layer_forward() const {
    return gemm_seconds(static_cast<double>(m_.layer_matrices(axes_.tensor)) +
                        w_.method.forward_products(m_, axes_.tensor)) +
           attention_seconds() + traffic_seconds() + machine_.layer_overhead;
  }
  [[nodiscard]] double forward_seconds(int stage) const {
    return local_layers(stage) * layer_forward() + gemm_seconds(head_elements(stage));
  }
  [[nodiscard]] double backward_seconds(int stage, double forward) const {
    double passes = w_.method.trains_base ? 2 : 1;
    if (const auto& choice = w_.method.choice) {
      passes = (choice->input_work + choice->weight_work) /
               static_cast<double>(m_.layers * m_.layer_matrices());
    }
    const auto matrices = static_cast<double>(m_.layer_matrices(axes_.tensor));
    const double adapters = w_.method.forward_products(m_, axes_.tensor);
    const double layer = gemm_seconds(passes * matrices + 2 * adapters) +
                         2.5 * attention_seconds() + 1.5 * traffic_seconds() +
                         rounding_seconds(2 * tokens_ * static_cast<double>(m_.hidden),
                                          w_.bytes.activation) +  // the residual stream's gradient
                         2 * machine_.layer_overhead;
    double again = 0;
    switch (plan_.recompute) {
      case Recompute::kNone:
        break;
      case Recompute::kSelective:
        again = local_layers(stage) * 0.5 * traffic_seconds();
        break;
      case Recompute::kFull:
        again = forward - gemm_seconds(head_elements(stage));
        break;
    }
    return local_layers(stage) * layer + passes * gemm_seconds(head_elements(stage)) + again;
  }

  [[nodiscard]] int stride(Axis axis) const {
    int size = 1;
    for (const Axis inner : machine_.order) {
      if (inner == axis) {
        break;
      }
      size *= size_of(inner);
    }
    return size;
  }
  [[nodiscard]] int size_of(Axis axis) const {
    switch (axis) {
      case Axis::kData:
        return axes_.data;
      case Axis::kShard:
        return axes_.shard;
      case Axis::kTensor:
        return axes_.tensor;
      case Axis::kPipeline:
        return axes_.pipeline;
    }
    return 1;
  }
  [[nodiscard]] Link link(Axis axis) const { return machine_.link(stride(axis), size_of(axis)); }
  [[nodiscard]] Link replica_link() const {
    return machine_.link(std::min(stride(Axis::kData), stride(Axis::kShard)), axes_.replicas());
  }
  static double seconds(const Link& link, double bytes, double messages) {
    return bytes / link.bandwidth + messages * link.latency;
  }

  // Sums of rows: two in the forward pass of a layer, two in the backward, two more when the layer
  // is made again; one for the embedding. Each is a reduce-scatter and an all-gather.
  void add_tensor(StepTime& out) const {
    if (axes_.tensor == 1) {
      return;
    }
    const double sums = local_layers(0) * (plan_.recompute == Recompute::kFull ? 6 : 4) + 1;
    const double row = tokens_ * static_cast<double>(m_.hidden) * w_.bytes.activation;
    out.tensor_bytes = rounds_ * sums * 2 * ring(row, axes_.tensor);
    out.communication += seconds(link(Axis::kTensor), out.tensor_bytes, 2 * rounds_ * sums);
  }

  void add_pipeline(StepTime& out) const {
    if (axes_.pipeline == 1) {
      return;
    }
    const double row = tokens_ * static_cast<double>(m_.hidden) * w_.bytes.activation;
    // The first rank sends every state and, for all pieces but the first, a gradient.
    out.pipeline_bytes = rounds_ * row * (2 * plan_.interleave - 1);
    // On the critical path.
    const double hops = 2 * (rounds_ * plan_.interleave + axes_.pipeline - 1);
    // Neighbours send to one rank: no ring shares the link.
    const Link wire =
        stride(Axis::kPipeline) * 2 <= machine_.ranks_per_node ? machine_.inside : machine_.between;
    out.communication += seconds(wire, hops * row, hops);
  }

  // Gradients and weights over the data and shard axes. ZeRO below 2 reduces once, from 2 on every
  // round; ZeRO-3 gathers the weights for each pass of each round.
  void add_replica(StepTime& out, double forward, double backward) const {
    const int replicas = axes_.replicas();
    if (replicas == 1) {
      return;
    }
    const double gradient = trained() * w_.bytes.gradient;
    const double units = local_layers(0) + 1;
    const double reduces = plan_.zero >= 2 ? rounds_ : 1;
    const double reduce = reduces * ring(gradient, replicas);
    double after = 0;  // cannot overlap with the backward pass
    double gathers = 0;
    switch (plan_.zero) {
      case 0:
        after = ring(gradient, replicas);
        break;
      case 1:
      case 2:
        after = ring(gradient / axes_.shard, axes_.data) +
                ring(trained() * w_.bytes.weight, axes_.shard);
        break;
      default:
        after = ring(gradient / axes_.shard, axes_.data);
        gathers = 2 * rounds_ * ring(held() * w_.bytes.weight, axes_.shard);
        break;
    }
    const double reduce_s = seconds(replica_link(), reduce, reduces * units);
    const double gather_s =
        gathers == 0 ? 0 : seconds(link(Axis::kShard), gathers, 2 * rounds_ * units);
    out.replica_bytes = reduce + after + gathers;
    out.communication += seconds(replica_link(), after, units);
    double may_hide = reduce_s + gather_s;
    if (plan_.overlap) {
      // The last unit of a pass has nothing left to hide behind.
      const double window =
          (1 - 1 / units) * (plan_.zero >= 2 ? rounds_ * (forward + backward) : backward);
      out.hidden = (1 - machine_.overlap_loss) * std::min(may_hide, window);
      may_hide -= out.hidden;
    }
    out.communication += may_hide;
  }

  void add_update(StepTime& out) const {
    const double owned = trained() / (plan_.zero > 0 ? axes_.shard : 1);
    const Bytes& b = w_.bytes;
    const double state = 2 * b.optimizer + 2 * b.master + b.gradient + 2 * b.weight;
    // Each micro-batch clears its gradient; each but the first is added: read, read, write.
    const double sums = (rounds_ + 3 * (rounds_ - 1)) * b.gradient * trained();
    out.optimizer = (owned * state + sums) / machine_.memory_bandwidth;
    // What trains is rounded once for all micro-batches, what ZeRO-3 gathers whenever it came.
    const double rounding =
        rounding_seconds(plan_.zero == 3 ? 2 * rounds_ * held() : trained(), b.weight);
    switch (plan_.offload) {
      case Offload::kNone:
        break;
      case Offload::kHost:
        if (machine_.host_link > 0) {  // the gradient goes there, the weight comes back
          out.optimizer = sums / machine_.memory_bandwidth +
                          owned * state / machine_.host_bandwidth +
                          owned * std::max(b.gradient, b.weight) / machine_.host_link;
        }
        break;
      case Offload::kDisk:  // read and written
        out.optimizer += owned * 2 * b.optimizer / machine_.disk_bandwidth;
        break;
    }
    out.optimizer += rounding;
  }

  const Workload& w_;
  const ModelShape& m_;
  const Plan& plan_;
  const Axes& axes_;
  const Pieces& pieces_;
  const Machine& machine_;
  double rounds_ = 1;  // micro-batches of the rank that has most
  double tokens_ = 1;  // of a micro-batch, mean
};

}  // namespace

StepTime step_time(const Workload& workload, const Plan& plan, const Pieces& pieces,
                   const Machine& machine) {
  return Model(workload, plan, pieces, machine).run();
}

StepTime step_time(const Workload& workload, const Plan& plan, const Machine& machine) {
  return step_time(workload, plan, make_pieces(workload, plan), machine);
}

}  // namespace finescale::planner
