// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/gpu_scratch.h"

#include <algorithm>

#include "core/quantised_panel.h"

namespace finescale::planner {

namespace {

// Rows of a part of the sum that is a norm's weight gradient (kernels/cuda: kFusedRows).
constexpr double kNormPartRows = 8;
// Squares are summed in blocks of f32 to one f64 each (kernels/cuda: kNormBlock).
constexpr double kSquaresOfBlock = 256;

struct Columns {
  Columns(const Workload& w, int tensor)
      : hidden(static_cast<double>(w.model.hidden)),
        query(static_cast<double>(w.model.query()) / tensor),
        key(static_cast<double>(w.model.local_key(tensor))),
        inner(static_cast<double>(w.model.intermediate) / tensor),
        gates(static_cast<double>(w.model.matrices_of_inner() - 1) * inner),
        heads(static_cast<double>(w.model.heads) / tensor) {}
  double hidden, query, key, inner, gates, heads;
};

// Operands of a layer's products that are not stored as such: the gradient of what was added to the
// residual stream, which serves two, and a matrix that comes and goes.
double of_products(const Workload& w, const Plan& plan, const Columns& c, double tokens,
                   bool training) {
  const double matrix =
      plan.zero == 3 ? c.hidden * std::max({c.query + 2 * c.key, c.gates, c.inner}) : 0;
  return w.bytes.rounded * ((training ? tokens * c.hidden : 0) + matrix);
}

// A panel of a matrix of few bits as products take it.
double of_quantised(const Workload& w, const Columns& c) {
  if (w.method.block_bytes == 0) {
    return 0;
  }
  const double elements = std::min(c.hidden * std::max(c.query, c.inner), double{kGpuQuantPanel});
  return elements * (w.bytes.rounded > 0 ? w.bytes.rounded : w.bytes.activation);
}

double of_attention(const Columns& c, double tokens) {
  return tokens * c.heads * sizeof(float);
}

// Places, labels and losses of the scored rows; of a chunk, where other rows lie between, the
// gradient of the state. That of logits lies in their memory.
double of_head(const Workload& w, const Plan& plan, const Columns& c, std::int64_t tokens,
               bool training) {
  const double vocab = static_cast<double>(w.model.vocab) / plan.axes.tensor;
  const auto rows = static_cast<double>(logits_rows(w, plan, tokens, true));
  const double lists = 2 * sizeof(std::int32_t) +
                       (w.batch.is_weighted || w.weighs_tokens ? 2 : 1) * w.bytes.activation;
  const double statistics = plan.axes.tensor > 1 ? 6 * w.bytes.activation * rows : 0;
  const double matrix = plan.zero == 3 ? vocab * c.hidden : 0;
  const bool is_apart = training && w.bytes.rounded > 0 && w.batch.label_fraction < 1;
  return static_cast<double>(tokens) * lists + statistics +
         (is_apart ? w.bytes.activation * rows * c.hidden : 0) + w.bytes.rounded * matrix;
}

}  // namespace

double gpu_tape_ids(std::int64_t tokens) {
  return 3 * static_cast<double>((tokens + 1) * static_cast<std::int64_t>(sizeof(std::int32_t)));
}

double gpu_operation_scratch(const Workload& w, const Plan& plan, const PieceShape& piece,
                             std::int64_t tokens, bool training) {
  const Columns columns(w, plan.axes.tensor);
  const auto all = static_cast<double>(tokens);
  double most = of_products(w, plan, columns, all, training) + of_quantised(w, columns);
  if (training) {
    most = std::max(most, of_attention(columns, all));
  }
  if (piece.has_head) {
    most = std::max(most, of_head(w, plan, columns, tokens, training));
  }
  if (training && w.method.trains_base) {
    const double trained = static_cast<double>(w.method.trained(w.model, plan.axes.tensor)) /
                           (plan.zero > 0 ? plan.axes.shard : 1) / plan.axes.pipeline;
    most = std::max({most, all / kNormPartRows * columns.hidden * w.bytes.activation,
                     trained / kSquaresOfBlock * sizeof(double)});
  }
  return most;
}

}  // namespace finescale::planner
