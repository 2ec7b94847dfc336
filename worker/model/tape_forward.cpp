// SPDX-License-Identifier: Apache-2.0
// Recording and carrying out the operations.
#include <algorithm>

#include "core/error.h"
#include "core/logits_chunk.h"
#include "core/tensor_element.h"
#include "core/transfer.h"
#include "kernels/bias.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/head_norm.h"
#include "kernels/prefix_attention.h"
#include "kernels/reduce.h"
#include "kernels/rope.h"
#include "kernels/round.h"
#include "worker/model/tape.h"

namespace finescale {

namespace {

TensorView as_vector(const TensorView& column) {
  return {column.data, column.dtype, Shape{column.rows()}};
}

}  // namespace

Value Tape::input(std::int64_t columns) {
  input_ = add_value(allocate(columns, Rows::kOwn), Rows::kOwn, true);
  return input_;
}

Value Tape::embedding(std::span<const std::int32_t> tokens, const Weight& weight,
                      std::int64_t first_token, double scale, const Weight* prompt) {
  const Value y = add_value(allocate(weight.value.cols(), Rows::kOwn), Rows::kOwn,
                            weight.trains || (prompt != nullptr && prompt->trains));
  if (exchange_.active()) {
    local_tokens_.clear();
    for (const std::int32_t token : tokens) {
      const std::int64_t row = token - first_token;
      local_tokens_.push_back(row >= 0 && row < weight.value.rows() ? static_cast<std::int32_t>(row)
                                                                    : kNoRow);
    }
    tokens = local_tokens_;
  }
  record(EmbeddingOp{y, tokens, &weight, scale, prompt});
  return y;
}

void Tape::run_forward(const EmbeddingOp& op) {
  if (!exchange_.active()) {
    embedding_forward(stream_, ids(op.tokens), op.weight->factor(), data(op.y));
  } else {
    const TensorView partial = gradient_buffer(data(op.y).cols(), Rows::kAll);
    embedding_forward(stream_, ids(op.tokens), op.weight->factor(), partial);
    sum_rows(partial, data(op.y));
    give_back(partial, Rows::kAll);
  }
  if (op.prompt != nullptr) {
    with_prompt_rows(
        op.prompt->value, data(op.y),
        [this](const TensorView& from, const TensorView& to) { copy(stream_, from, to); });
  }
  if (op.scale != 1) {
    affine_in_place(stream_, op.scale, 0, data(op.y));
  }
}

// The value stands for the weights, which have a backward pass in this unit.
void Tape::encode(PrefixEncoder& encoder) {
  (void)add_value(TensorView(), Rows::kAll, true);
  record(EncodeOp{&encoder});
}

void Tape::run_forward(const EncodeOp& op) {
  op.encoder->forward(stream_);
}

Value Tape::add_positions(Value x, std::span<const std::int32_t> positions, const Weight& weight) {
  const Value y = add_value(data(x), Rows::kOwn, needs_gradient(x) || weight.trains);
  const auto first = static_cast<std::size_t>(exchange_.begin(tokens_, exchange_.rank()));
  const auto count = static_cast<std::size_t>(data(x).rows());
  record(PositionsOp{x, y, positions.subspan(first, count), &weight});
  return y;
}

void Tape::run_forward(const PositionsOp& op) {
  const TensorView rows = gradient_buffer(data(op.y).cols(), Rows::kOwn);
  embedding_forward(stream_, ids(op.positions), op.weight->value, rows);
  add_in_place(stream_, rows, data(op.y));
  give_back(rows, Rows::kOwn);
}

Value Tape::add_norm(Value x, Value residual, const Weight& weight, const NormRule& rule,
                     Value* sum, std::size_t slot) {
  const bool stream_needs = needs_gradient(x) || needs_gradient(residual);
  const std::int64_t width = data(x).cols();
  // Rows that ranks send each other lie without gaps.
  const bool travels = exchange_.active() && rounded_stride(width) != width;
  const DType dtype = travels ? dtype_ : operand_dtype_;
  const TensorView place =
      remakes_ ? shared_block(width, slot, Rows::kAll, dtype) : allocate(width, Rows::kAll, dtype);
  const Value y = add_value(place, Rows::kAll, stream_needs || weight.trains,
                            remakes_ ? static_cast<int>(ops_.size()) : -1);
  node(y).gradient_dtype = dtype_;  // it goes into the stream's, a sum over all layers
  const TensorView statistics = allocate(rule.num_statistics(), Rows::kOwn);
  // x's memory becomes the residual stream: nothing else reads a projection's output again.
  *sum = add_value(data(x), Rows::kOwn, stream_needs);
  record(AddNormOp{x, residual, *sum, y, &weight, rule, statistics});
  return y;
}

void Tape::run_forward(const AddNormOp& op) {
  norm_forward(stream_, op.rule, data(op.x),
               op.residual == kNoValue ? TensorView() : data(op.residual), *op.weight,
               shifted(op.rule, data(op.x).cols()), exchange_.own(data(op.y)), op.statistics);
  exchange_.all_gather(data(op.y));
}

Value Tape::add(Value x, Value residual) {
  TensorView place = data(x);
  if (!kept_.empty()) {
    place = kept_;
    kept_ = TensorView();
  }
  const Value y = add_value(place, Rows::kOwn, needs_gradient(x) || needs_gradient(residual));
  record(AddOp{x, residual, y});
  return y;
}

Value Tape::join(Value x, Value other) {
  const Value y = add_value(data(x), Rows::kOwn, needs_gradient(x) || needs_gradient(other));
  record(AddOp{x, other, y});
  return y;
}

void Tape::run_forward(const AddOp& op) {
  if (data(op.y).data != data(op.x).data) {
    copy(stream_, data(op.x), data(op.y));
  }
  add_in_place(stream_, data(op.residual), data(op.y));
}

Value Tape::bypass(Value x, Value branch) {
  const Value y = add_value(data(branch), Rows::kOwn, needs_gradient(x) || needs_gradient(branch));
  record(BypassOp{x, branch, y});
  return y;
}

void Tape::run_forward(const BypassOp& op) {
  add_in_place(stream_, data(op.x), data(op.y));
}

Value Tape::linear(Value x, const Weight& weight, const LowRank* adapter, Split split) {
  const bool adapter_trains = adapter != nullptr && adapter->trains();
  const Rows rows = split == Split::kOutputs ? Rows::kAll : Rows::kOwn;
  // What is added to the residual stream is not rounded.
  const DType dtype = split == Split::kOutputs ? operand_dtype_ : dtype_;
  const Value y = add_value(allocate(weight.value.rows(), rows, dtype), rows,
                            needs_gradient(x) || weight.trains || adapter_trains);
  TensorView projected;
  TensorView unscaled;
  if (adapter != nullptr && !adapter->parts.empty()) {
    projected = allocate(adapter->a.value.rows(), Rows::kAll, operand_dtype_);
  }
  if (adapter != nullptr && !adapter->outputs.empty()) {
    unscaled = allocate(weight.value.rows(), rows, dtype);
  }
  record(LinearOp{x, y, &weight, adapter, projected, unscaled, split});
  return y;
}

TensorView Tape::multiplied_input(const LinearOp& op) {
  const TensorView& x = data(op.x);
  if (op.adapter == nullptr || op.adapter->inputs.empty()) {
    return x;
  }
  const TensorView scaled = gradient_buffer(x.cols(), Rows::kAll);
  multiply_columns(stream_, op.adapter->inputs, x, scaled);
  return scaled;
}

const LowRank* Tape::made_adapter(const LowRank* adapter, LowRank& made) {
  if (adapter == nullptr || !adapter->is_scaled()) {
    return adapter;
  }
  made = with_made_parts(stream_, *adapter, made_scratch(*adapter));
  return &made;
}

TensorView Tape::made_scratch(const LowRank& adapter) {
  const std::int64_t count = adapter.made_elements() + adapter.largest_part();
  const std::size_t bytes = static_cast<std::size_t>(count) * dtype_size(dtype_);
  if (made_.size_bytes() < bytes) {
    memory_bytes_ += bytes - made_.size_bytes();
    made_ = AlignedBuffer(bytes, stream_, MemoryPurpose::kActivations);
    ++num_allocations_;
  }
  return {made_.data(), dtype_, Shape{count}};
}

void Tape::run_forward(const LinearOp& op) {
  LowRank made;
  const LowRank* const adapter = made_adapter(op.adapter, made);
  const TensorView x = multiplied_input(op);
  const TensorView& sum = op.unscaled.empty() ? data(op.y) : op.unscaled;
  if (op.split != Split::kInputs || !exchange_.active()) {
    linear_forward(stream_, x, *op.weight, adapter, op.projected, sum);
  } else {
    const TensorView partial = gradient_buffer(data(op.y).cols(), Rows::kAll);
    linear_forward(stream_, x, *op.weight, adapter, op.projected, partial);
    sum_rows(partial, sum);
    give_back(partial, Rows::kAll);
  }
  if (x.data != data(op.x).data) {
    give_back(x, Rows::kAll);
  }
  const bool has_bias = !op.weight->bias.empty();
  const bool scales_bias = !op.unscaled.empty() && op.adapter->scales_bias;
  if (has_bias && scales_bias) {
    bias_add(stream_, op.weight->bias, sum);
  }
  if (!op.unscaled.empty()) {
    multiply_columns(stream_, op.adapter->outputs, sum, data(op.y));
  }
  if (has_bias && !scales_bias) {  // of a sum over ranks once: to this rank's rows
    bias_add(stream_, op.weight->bias, data(op.y));
  }
}

Value Tape::head_norm(Value qkv, const AttentionShape& shape, const Weight& q, const Weight& k,
                      double eps) {
  const Value y = add_value(allocate(data(qkv).cols(), Rows::kAll, data(qkv).dtype), Rows::kAll,
                            needs_gradient(qkv) || q.trains || k.trains);
  record(HeadNormOp{qkv, y, shape, &q, &k, eps, allocate(shape.num_heads),
                    allocate(shape.num_kv_heads)});
  return y;
}

void Tape::run_forward(const HeadNormOp& op) {
  const std::int64_t query = std::int64_t{op.shape.num_heads} * op.shape.head_dim;
  const std::int64_t key = std::int64_t{op.shape.num_kv_heads} * op.shape.head_dim;
  const TensorView& x = data(op.x);
  const TensorView& y = data(op.y);
  head_norm_forward(stream_, x.columns(0, query), op.q->value, op.eps, y.columns(0, query),
                    op.q_rstd);
  head_norm_forward(stream_, x.columns(query, query + key), op.k->value, op.eps,
                    y.columns(query, query + key), op.k_rstd);
  copy(stream_, x.columns(query + key, query + 2 * key), y.columns(query + key, query + 2 * key));
}

void Tape::rope(Value x, std::int64_t columns, std::int64_t head_dim,
                std::span<const std::int32_t> positions, const TensorView& cos,
                const TensorView& sin) {
  record(RopeOp{x, columns, head_dim, positions, cos, sin});
}

void Tape::run_forward(const RopeOp& op) {
  rope_apply(stream_, data(op.x).columns(0, op.columns), op.head_dim, ids(op.positions), op.cos,
             op.sin, false);
}

Value Tape::attention(Value qkv, const AttentionShape& shape,
                      std::span<const std::int32_t> segments, const PrefixKeys* prefix,
                      std::int64_t seen_rows) {
  FS_CHECK(prefix == nullptr || seen_rows == 0, "virtual tokens are rows or keys, not both");
  const std::int64_t query = std::int64_t{shape.num_heads} * shape.head_dim;
  const Value y = add_value(allocate(query, Rows::kAll, data(qkv).dtype), Rows::kAll,
                            needs_gradient(qkv) || (prefix != nullptr && prefix->k.trains));
  const TensorView lse = allocate(shape.num_heads);
  record(AttentionOp{qkv, y, shape, segments, lse, prefix, seen_rows});
  return y;
}

Tape::Seen Tape::seen_by(const AttentionOp& op) const {
  if (op.prefix != nullptr) {
    return {0, op.prefix->k.value, op.prefix->v.value};
  }
  if (op.seen_rows == 0) {
    return {};
  }
  const std::int64_t query = std::int64_t{op.shape.num_heads} * op.shape.head_dim;
  const std::int64_t key = std::int64_t{op.shape.num_kv_heads} * op.shape.head_dim;
  const TensorView rows = data(op.qkv).row_range(0, op.seen_rows);
  return {op.seen_rows, rows.columns(query, query + key),
          rows.columns(query + key, query + 2 * key)};
}

void Tape::run_forward(const AttentionOp& op) {
  const std::int64_t query = std::int64_t{op.shape.num_heads} * op.shape.head_dim;
  const std::int64_t key = std::int64_t{op.shape.num_kv_heads} * op.shape.head_dim;
  const TensorView& x = data(op.qkv);
  attention_forward(stream_, op.shape, x.columns(0, query), x.columns(query, query + key),
                    x.columns(query + key, query + 2 * key), op.segments, data(op.y), op.lse,
                    stream_.on_gpu() ? ids(op.segments) : TensorView());
  const Seen seen = seen_by(op);
  if (seen.k.empty()) {
    return;
  }
  const auto behind = [&](const TensorView& rows) { return rows.row_range(seen.first, tokens_); };
  const TensorView scores = gradient_buffer(seen.k.rows(), Rows::kAll);
  prefix_attention_forward(stream_, op.shape, behind(x.columns(0, query)), seen.k, seen.v,
                           behind(scores), behind(data(op.y)), behind(op.lse));
  give_back(scores, Rows::kAll);
}

Value Tape::activation(Value x, const ActivationRule& rule, bool in_branch) {
  const std::int64_t width = data(x).cols() / rule.num_inputs();
  const Rows rows = node(x).rows;
  const DType dtype = data(x).dtype;
  const TensorView place =
      remakes_ ? shared_block(width, 0, rows, dtype, in_branch) : allocate(width, rows, dtype);
  const Value y =
      add_value(place, rows, needs_gradient(x), remakes_ ? static_cast<int>(ops_.size()) : -1);
  record(ActivationOp{x, y, rule});
  return y;
}

void Tape::run_forward(const ActivationOp& op) {
  activation_forward(stream_, op.rule, data(op.x), data(op.y));
}

void Tape::make_again(Value value) {
  const int maker = node(value).maker;
  if (maker < 0) {
    return;
  }
  const Op& op = ops_[static_cast<std::size_t>(maker)];
  if (const auto* norm = std::get_if<AddNormOp>(&op)) {  // the sum is made already
    norm_forward(stream_, norm->rule, data(norm->sum), TensorView(), *norm->weight,
                 shifted(norm->rule, data(norm->sum).cols()), exchange_.own(data(norm->y)),
                 norm->statistics);
    exchange_.all_gather(data(norm->y));
  } else {
    run_forward(std::get<ActivationOp>(op));
  }
}

void Tape::sum_rows(const TensorView& partial, const TensorView& sum) {
  received_.clear();
  for (int other = 1; other < exchange_.size(); ++other) {
    received_.push_back(gradient_buffer(partial.cols(), Rows::kOwn));
  }
  exchange_.reduce_scatter(partial, received_, sum);
  for (const TensorView& buffer : received_) {
    give_back(buffer, Rows::kOwn);
  }
}

double Tape::cross_entropy(Value x, const Weight& head, std::span<const std::int32_t> labels,
                           double scale, TensorView* losses, std::int64_t first_token,
                           const Terms& terms) {
  const bool want = training_ && (needs_gradient(x) || head.trains);
  scored_ = x;
  const TensorView token_losses = as_vector(allocate(1));
  const std::int64_t vocab = head.value.rows();
  const std::int64_t width = data(x).cols();
  const TensorView gathered = allocate(width, Rows::kAll, data(x).dtype);
  // Scratch that depends on V, not on T: blocks of its own under keys no width has.
  const auto scratch = [&](std::int64_t key, std::int64_t rows, std::int64_t columns) {
    Pool& pool = activations_[{key, Rows::kAll, dtype_}];
    if (pool.blocks.empty()) {
      add_block(pool, rows * columns, dtype_);
    }
    return TensorView(pool.blocks[0].data(), dtype_, Shape{rows, columns});
  };
  const auto element = static_cast<std::int64_t>(dtype_size(dtype_));
  const std::int64_t chunk = logits_chunk_rows(vocab, element, stream_.on_gpu(), max_tokens_);
  const TensorView logits =
      scratch(-vocab, chunk, logits_stride(vocab, element, stream_.on_gpu())).columns(0, vocab);
  std::optional<TeacherRows> teacher = terms.teacher;
  if (teacher) {
    teacher->scratch = scratch(-2 * vocab, chunk, vocab);
  }
  VocabularyPart part;
  if (exchange_.active()) {
    part.begin = first_token;
    const std::int64_t numbers = teacher ? kDivergenceStatistics : 3;  // of a row
    const TensorView all = scratch(teacher ? INT64_MIN : 0, exchange_.size() * chunk, numbers);
    part.combine = [this, numbers, data = all.data, &teacher](const TensorView& statistics) {
      const TensorView of_ranks(data, statistics.dtype,
                                Shape{exchange_.size() * statistics.rows(), numbers});
      combine_statistics(exchange_, statistics, of_ranks, teacher ? &teacher->rule : nullptr);
    };
  }
  if (want) {
    gradient(x) = gradient_buffer(width, Rows::kAll);
  }
  const HeadBias bias{head.bias, want && head.trains ? head.bias_gradient : TensorView()};
  const auto run = [&](const TensorView& weights, bool with_gradient, const TensorView& out) {
    linear_cross_entropy(stream_, data(x), head.factor(), ids_view(labels), weights, scale, out,
                         with_gradient ? gradient(x) : TensorView(),
                         with_gradient && head.trains ? head.gradient : TensorView(), gathered,
                         logits, exchange_.active() ? &part : nullptr,
                         head.bias.empty() ? nullptr : &bias, teacher ? &*teacher : nullptr);
  };
  if (terms.weigh && training_) {
    const TensorView weights = as_vector(allocate(1));
    const TensorView weighted = as_vector(allocate(1));
    fill_zero(stream_, weights);
    run(TensorView(), false, token_losses);
    const double value = terms.weigh(token_losses, weights);
    run(weights, want, weighted);
    return value;
  }
  TensorView weights;
  if (!terms.weights.empty()) {
    weights = as_vector(allocate(1));
    HostCopy host(stream_, weights, HostCopy::For::kWriting);
    for (std::size_t t = 0; t < terms.weights.size(); ++t) {
      set_element(host.view(), static_cast<std::int64_t>(t), terms.weights[t]);
    }
    host.commit();
  }
  run(weights, want, token_losses);
  if (losses != nullptr) {
    *losses = token_losses;
  }
  return sum(stream_, token_losses);
}

}  // namespace finescale
