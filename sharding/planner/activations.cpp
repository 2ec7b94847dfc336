// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/activations.h"

#include <algorithm>

#include "core/logits_chunk.h"

namespace finescale::planner {

namespace {

// Columns of one token on one rank. The residual stream is cut by rows over the tensor axis: `own`
// of its C columns' worth. Norms give all rows, unless the engine gathers them again when needed.
struct Widths {
  Widths(const Workload& w, int t, double part)
      : operand(part),
        all(static_cast<double>(w.model.hidden)),
        own(all / t),
        norm(operand * (w.sequence_parallel ? own : all)),
        scored(operand * all),
        query(operand * static_cast<double>(w.model.query()) / t),
        key(operand * static_cast<double>(w.model.local_key(t))),
        inner(operand * static_cast<double>(w.model.intermediate) / t),
        heads(static_cast<double>(w.model.heads) / t),
        low(operand * static_cast<double>(w.method.projected_columns())) {
    const auto& y = w.method.outputs;
    const double qkv_y = y[0] || y[1] || y[2] ? query + 2 * key : 0;
    const double o_y = y[3] ? own : 0;
    const double inner_y =
        y[4] || y[5] ? static_cast<double>(w.model.matrices_of_inner() - 1) * inner : 0;
    const double down_y = y[6] ? own : 0;
    unscaled = qkv_y + o_y + inner_y + down_y;
    scaled = qkv_y + std::max(o_y, down_y) + inner_y;
    multiplied = w.method.inputs[6] ? inner : 0;
    branch = static_cast<double>(w.method.branch_width) / t;
    branches = w.method.branches;
    seen = static_cast<double>(w.method.virtual_tokens);
  }
  double operand;  // part of an element that one of an operand takes
  double all, own, norm;
  double scored;  // what the head reads of the last norm
  double query, key, inner, heads;
  double low;           // x A^T of all targets
  double unscaled = 0;  // outputs in front of their factors
  double scaled = 0;    // gradients behind them, a block of each width
  double branch = 0;    // inside a network beside the stream, and how many a layer has
  double branches = 0;
  double multiplied = 0;  // inputs behind theirs
  double seen = 0;        // virtual tokens that every token sees
};

// Buffers for gradients of activations and for what others send, by width; a block goes from one
// use to the next. Without tensor parallelism the stream's gradient and that of a norm's output.
double backward_pool(const Widths& w, int tensor) {
  const bool shares = w.operand == 1 && w.query == w.all;  // one width, one type
  const double stream =
      tensor == 1 ? 2 * w.all + (shares ? 0 : w.query)
                  // one sum of all rows; the stream, a norm's output, what the other ranks send
                  : w.all + (tensor + 1) * w.own + w.query;
  return stream + (w.query + 2 * w.key) + w.inner + w.low + w.scaled + w.multiplied + w.branch +
         (w.branches > 0 && tensor > 1 ? w.own : 0) + (w.seen > 0 ? 2 * w.seen + w.heads : 0);
}

}  // namespace

double operand_part(const Bytes& bytes, bool on_gpu) {
  return on_gpu && bytes.rounded > 0 ? bytes.rounded / bytes.activation : 1;
}

double layer_activations(const Workload& workload, int tensor, bool on_gpu) {
  const Widths w(workload, tensor, operand_part(workload.bytes, on_gpu));
  // The norms; two projections onto the stream, which become it; q k v (again with norms of their
  // own), attention's output and log sums; gate and up, activation; the norms' statistics;
  // adapters.
  const ModelShape& m = workload.model;
  const auto norms = static_cast<double>(m.norms());
  const double qk_norm =
      m.qk_norm ? w.query + 2 * w.key + w.heads +
                      static_cast<double>(m.local_key(tensor)) / static_cast<double>(m.head_dim)
                : 0;
  return norms * w.norm + 2 * w.own + (w.query + 2 * w.key) + w.query + w.heads +
         static_cast<double>(m.matrices_of_inner()) * w.inner +
         norms * (m.norm_bias ? 2.0 : 1.0) / tensor + qk_norm + w.low + w.unscaled +
         w.branches * (w.own + 2 * w.branch);
}

std::int64_t logits_rows(const Workload& workload, const Plan& plan, std::int64_t tokens,
                         bool on_gpu) {
  return workload.logits_rows > 0
             ? workload.logits_rows
             : logits_chunk_rows(workload.model.vocab / plan.axes.tensor,
                                 static_cast<std::int64_t>(workload.bytes.activation), on_gpu,
                                 tokens);
}

TapeElements tape_elements(const Workload& workload, const Plan& plan, const PieceShape& piece,
                           std::int64_t tokens, bool training, bool on_gpu) {
  const int t = plan.axes.tensor;
  const Widths w(workload, t, operand_part(workload.bytes, on_gpu));
  const double layer = layer_activations(workload, t, on_gpu);
  // What a piece begins with; with the head also the last norm, the labelled rows, scales and
  // losses.
  double kept = w.own;
  // And weighted losses, where weights follow from losses.
  const double weights = !training                ? 0
                         : workload.weighs_tokens ? 2
                                                  : (workload.batch.is_weighted ? 1 : 0);
  double head = piece.has_head ? w.norm + w.scored + 1.0 / t + 1 + weights : 0;
  const double trained = piece.layers - piece.frozen_layers;
  const Recompute recompute = training ? plan.recompute : Recompute::kFull;
  const auto norms = static_cast<double>(workload.model.norms());
  // A block for all norms, two where two are needed at once.
  const double shared_norms = workload.model.parallel && !workload.model.shared_norm ? 2 : 1;
  switch (recompute) {
    case Recompute::kNone:
      kept += trained * layer + piece.frozen_layers * w.own;
      break;
    case Recompute::kSelective:  // one block for all activations
      kept += trained * (layer - norms * w.norm - w.inner - w.branches * w.branch) +
              piece.frozen_layers * w.own + shared_norms * w.norm + w.inner + w.branch;
      head -= piece.has_head ? w.norm : 0;
      break;
    case Recompute::kFull:  // a layer's output each; the layer in work, whose blocks the head takes
      kept += piece.layers * w.own + layer;
      kept -= plan.recompute == Recompute::kSelective ? (norms - shared_norms) * w.norm : 0;
      head = 0;
      break;
  }
  const double pool = training ? backward_pool(w, t)
                               : w.multiplied + w.seen + (t > 1 ? w.all + (t - 1) * w.own : 0);
  TapeElements elements;
  elements.activations =
      (kept + head + pool) * static_cast<double>(tokens + workload.method.rows());
  if (piece.has_head) {
    const auto vocab = static_cast<double>(logits_stride(
        workload.model.vocab / t, static_cast<std::int64_t>(workload.bytes.activation), on_gpu));
    const auto rows = static_cast<double>(logits_rows(workload, plan, tokens, on_gpu));
    const bool has_teacher = training && workload.teacher;  // its logits, and longer statistics
    elements.logits =
        rows * (vocab * (has_teacher ? 2 : 1) + (t > 1 ? (has_teacher ? 7 : 3) * t : 0));
  }
  return elements;
}

}  // namespace finescale::planner
