// SPDX-License-Identifier: Apache-2.0
#include "worker/model/transformer.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "core/error.h"
#include "core/gpu_range.h"
#include "core/transfer.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/rope.h"

namespace finescale {

Transformer::Transformer(const ModelLayout& layout, const ParameterSet& weights,
                         TransformerOptions options)
    : Transformer(
          layout, weights,
          [&weights] {
            UnitBlocks blocks;
            weights.split(weights.flat(), blocks);
            return blocks;
          }(),
          std::move(options)) {}

Transformer::Transformer(const ModelLayout& layout, const ParameterSet& weights,
                         const UnitBlocks& values, TransformerOptions options)
    : layout_(&layout),
      weights_(&weights),
      options_(std::move(options)),
      adapters_(static_cast<std::size_t>(layout.num_layers())),
      layers_(static_cast<std::size_t>(layout.num_layers())),
      tape_(make_tape()) {
  make_rope_tables();
  bind_values(values);
}

Tape Transformer::make_tape() const {
  return Tape(weights_->dtype(), {.tensor = options_.tensor,
                                  .recompute = options_.recompute,
                                  .hooks = &options_.hooks,
                                  .stream = options_.stream});
}

void Transformer::make_rope_tables() {
  const DecoderShape& shape = layout_->shape();
  if (!shape.has_rotation()) {
    return;
  }
  const std::int64_t half = shape.rotary_dim / 2;
  const std::int64_t positions = shape.max_positions;
  const DType dtype = weights_->dtype();
  rope_memory_ = AlignedBuffer(static_cast<std::size_t>(2 * positions * half) * dtype_size(dtype),
                               options_.stream);
  const TensorView table(rope_memory_.data(), dtype, Shape{2 * positions, half});
  cos_ = table.row_range(0, positions);
  sin_ = table.row_range(positions, 2 * positions);
  HostCopy host(options_.stream, table, HostCopy::For::kWriting);
  rope_table(inverse_frequencies(shape), host.view().row_range(0, positions),
             host.view().row_range(positions, 2 * positions));
  host.commit();
}

template <class Set>
void Transformer::for_each_weight(Set&& set) {
  const auto set_if = [&](Weight& weight, const StackIndex& index) {
    if (index.first >= 0) {
      set(weight, index);
    }
  };
  if (layout_->part().has_embedding) {
    set(embedding_, layout_->embedding());
    set_if(positions_, layout_->positions());
  }
  for (int i = 0; i < layout_->num_layers(); ++i) {
    const LayerIndex& index = layout_->layer(i);
    LayerWeights& layer = layers_[static_cast<std::size_t>(i)];
    set(layer.input_norm, index.input_norm);
    set(layer.qkv, index.qkv);
    set_if(layer.q_norm, index.q_norm);
    set_if(layer.k_norm, index.k_norm);
    set(layer.o, index.o);
    set_if(layer.post_norm, index.post_norm);
    set(layer.gate_up, index.gate_up);
    set(layer.down, index.down);
  }
  if (layout_->part().has_head) {
    set(final_norm_, layout_->final_norm());
    set(head_, layout_->head());
  }
}

namespace {

// Tensors first..last in the blocks; empty when there are none.
TensorView tensors_in(const ParameterSet& weights, const UnitBlocks& blocks, int first, int last) {
  if (first < 0) {
    return {};
  }
  return first == last ? weights.view_in(blocks, first) : weights.stack_in(blocks, first, last);
}

}  // namespace

void Transformer::bind_values(const UnitBlocks& values) {
  for_each_weight([&](Weight& weight, const StackIndex& index) {
    weight.value = tensors_in(*weights_, values, index.first, index.last);
    weight.bias = tensors_in(*weights_, values, index.bias_first, index.bias_last);
    std::int64_t row = 0;
    for (int i = index.first; options_.quantised != nullptr && i <= index.last; ++i) {
      if (const QuantisedMatrix* const matrix = options_.quantised->find(i); matrix != nullptr) {
        weight.quantised.push_back({row, matrix});
      }
      row += weights_->local_shape(i)[0];
    }
    if (options_.rounded != nullptr) {
      weight.rounded = &weight == &embedding_ ? options_.rounded->table(index.first)
                                              : options_.rounded->find(index.first);
    }
  });
}

void Transformer::set_trains(const std::function<bool(int tensor)>& trains) {
  const auto any = [&](int first, int last) {
    bool found = false;
    for (int index = first; index >= 0 && index <= last; ++index) {
      found = found || trains(index);
    }
    return found;
  };
  for_each_weight([&](Weight& weight, const StackIndex& index) {
    weight.may_train = any(index.first, index.last) || any(index.bias_first, index.bias_last);
    weight.trains = weight.may_train;
  });
}

void Transformer::bind_gradient(const UnitBlocks& blocks) {
  for_each_weight([&](Weight& weight, const StackIndex& index) {
    weight.trains = weight.may_train && !blocks.empty();
    if (!weight.trains) {
      weight.gradient = weight.bias_gradient = TensorView();
    } else {
      weight.gradient = tensors_in(*weights_, blocks, index.first, index.last);
      weight.bias_gradient = tensors_in(*weights_, blocks, index.bias_first, index.bias_last);
    }
  });
  if (layout_->shape().tied && !layout_->part().has_head) {
    embedding_.gradient = TensorView();  // its rows belong to the head's, in another piece
  }
}

void Transformer::bind_gradients(const std::vector<TensorGradient>& gradients) {
  const auto of = [&](int index) {
    return index < 0 ? TensorGradient() : gradients[static_cast<std::size_t>(index)];
  };
  for_each_weight([&](Weight& weight, const StackIndex& index) {
    weight.rows.clear();
    weight.trains = weight.may_train;
    weight.gradient = weight.bias_gradient = TensorView();
    if (index.first == index.last && of(index.first).entries.places.empty()) {
      weight.gradient = of(index.first).value;
      weight.bias_gradient = of(index.bias_first).value;
      return;
    }
    std::int64_t row = 0;
    for (int i = index.first; weight.trains && i <= index.last; ++i) {
      const std::int64_t end = row + weights_->local_shape(i)[0];
      const int bias = index.bias_first < 0 ? -1 : index.bias_first + i - index.first;
      const TensorGradient own = of(i);
      weight.rows.push_back({row, end, own.value, of(bias).value, own.entries, own.sums});
      row = end;
    }
  });
}

std::vector<std::unique_ptr<SharedOperand>> Transformer::share_weights() const {
  std::vector<std::unique_ptr<SharedOperand>> shared;
  if (!options_.stream.on_gpu() || options_.stream.products() == Products::kF32) {
    return shared;
  }
  const auto share = [&](const Weight& weight) {
    if (weight.rounded.empty() && weight.quantised.empty()) {
      shared.push_back(std::make_unique<SharedOperand>(options_.stream, weight.value));
    }
  };
  for (const LayerWeights& layer : layers_) {
    for (const Weight* weight : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down}) {
      share(*weight);
    }
  }
  if (layout_->part().has_head) {
    share(head_);
  }
  return shared;
}

std::int64_t Transformer::first_token() const noexcept {
  return layout_->shape().vocab_size / layout_->part().tensor_size *
         std::int64_t{layout_->part().tensor_rank};
}

int Transformer::head_unit() const noexcept {
  return weights_->unit_of(layout_->head().first);
}

// Virtual tokens that go through the layers are a segment of their own, at the beginning.
void Transformer::put_in_front(const MicroBatch& batch, MicroBatch& longer) const {
  const auto rows = static_cast<std::size_t>(virtual_.rows());
  const auto count = static_cast<std::int32_t>(virtual_.count);
  longer.tokens.assign(rows, kNoRow);
  longer.tokens.insert(longer.tokens.end(), batch.tokens.begin(), batch.tokens.end());
  longer.labels.assign(rows, kIgnoreLabel);
  longer.labels.insert(longer.labels.end(), batch.labels.begin(), batch.labels.end());
  longer.positions.resize(rows);
  std::iota(longer.positions.begin(), longer.positions.end(), 0);
  for (const std::int32_t position : batch.positions) {
    if (position >= num_positions()) {
      throw Error(ErrorKind::kData,
                  "an example is longer than the " + std::to_string(num_positions()) +
                      " positions that virtual tokens leave",
                  {}, "lower data.max_length or num_virtual_tokens");
    }
    longer.positions.push_back(position + count);
  }
  longer.segments.assign(static_cast<std::size_t>(rows > 0), 0);
  for (const std::int32_t offset : batch.segments) {
    longer.segments.push_back(offset + static_cast<std::int32_t>(rows));
  }
}

TensorView Transformer::begin(Tape& tape, const MicroBatch& batch, std::int64_t max_tokens,
                              bool training) {
  tape.begin(batch.num_tokens() + virtual_.rows(), max_tokens + virtual_.rows(), training);
  if (virtual_.count > 0) {
    put_in_front(batch, tape.own_batch());
  }
  if (layout_->part().has_embedding) {
    return {};
  }
  return tape.data(tape.input(layout_->shape().hidden_size));
}

Value Transformer::attend(Tape& tape, int index, const MicroBatch& batch, Value normed) const {
  const LayerWeights& layer = layers_[static_cast<std::size_t>(index)];
  const LayerAdapters& adapters = adapters_[static_cast<std::size_t>(index)];
  const DecoderShape& shape = layout_->shape();
  const AttentionShape attention = layout_->attention(index);
  Value qkv = tape.linear(normed, layer.qkv, adapters.qkv);
  if (shape.qk_norm) {
    qkv = tape.head_norm(qkv, attention, layer.q_norm, layer.k_norm, shape.norm_eps);
  }
  if (shape.has_rotation()) {
    const std::int64_t rotated =
        std::int64_t{attention.num_heads + attention.num_kv_heads} * attention.head_dim;
    tape.rope(qkv, rotated, attention.head_dim, batch.positions, cos_, sin_);
  }
  const Value mixed =
      tape.attention(qkv, attention, batch.segments, adapters.prefix, virtual_.rows());
  return behind(tape, tape.linear(mixed, layer.o, adapters.o, Split::kInputs),
                adapters.behind_attention);
}

Value Transformer::behind(Tape& tape, Value x, const BranchNetwork* network) {
  if (network == nullptr) {
    return x;
  }
  const Value inner = tape.linear(x, network->down, nullptr, Split::kNone);
  const Value active = tape.activation(inner, kBranchActivation, true);
  return tape.bypass(x, tape.linear(active, network->up, nullptr, Split::kNone));
}

Value Transformer::feed_forward(Tape& tape, int index, Value normed) const {
  const LayerWeights& layer = layers_[static_cast<std::size_t>(index)];
  const LayerAdapters& adapters = adapters_[static_cast<std::size_t>(index)];
  const Value inner = tape.linear(normed, layer.gate_up, adapters.gate_up);
  const Value down = tape.linear(tape.activation(inner, activation_rule(layout_->shape())),
                                 layer.down, adapters.down, Split::kInputs);
  return behind(tape, down, adapters.behind_mlp);
}

void Transformer::forward_layer(Tape& tape, int index, const MicroBatch& batch, Value& delta,
                                Value& stream) const {
  const LayerWeights& layer = layers_[static_cast<std::size_t>(index)];
  const DecoderShape& shape = layout_->shape();
  const NormRule norm = norm_rule(shape);
  // Below the first weight that trains nothing is kept: no backward pass comes by.
  const bool is_frozen = !trains_layer(index) && !has_adapters() && !tape.needs_gradient(delta);
  const GpuRange range(options_.stream, "layer forward", layout_->layer_unit(index));
  tape.enter_unit(layout_->layer_unit(index), shape.hidden_size, is_frozen);
  const Value normed = tape.add_norm(delta, stream, layer.input_norm, norm, &stream);
  if (shape.parallel_residual) {
    const Value second = shape.shared_norm
                             ? normed
                             : tape.add_norm(stream, kNoValue, layer.post_norm, norm, &stream, 1);
    const Value attended = attend(tape, index, batch, normed);
    delta = tape.join(attended, feed_forward(tape, index, second));
  } else {
    delta = attend(tape, index, batch, normed);
    const Value second = tape.add_norm(delta, stream, layer.post_norm, norm, &stream);
    delta = feed_forward(tape, index, second);
  }
  tape.leave_unit(layout_->layer_unit(index));
  if (tape.keeps_sum()) {  // the layer's output, alone: the next norm has nothing to add
    delta = tape.add(delta, stream);
    stream = kNoValue;
  }
}

bool Transformer::trains_layer(int index) const {
  const LayerWeights& layer = layers_[static_cast<std::size_t>(index)];
  return layer.input_norm.trains || layer.qkv.trains || layer.q_norm.trains ||
         layer.k_norm.trains || layer.o.trains || layer.post_norm.trains || layer.gate_up.trains ||
         layer.down.trains;
}

bool Transformer::has_adapters() const {
  return virtual_.count > 0 ||
         std::any_of(adapters_.begin(), adapters_.end(), [](const LayerAdapters& layer) {
           return layer.qkv != nullptr || layer.o != nullptr || layer.gate_up != nullptr ||
                  layer.down != nullptr || layer.behind_attention != nullptr ||
                  layer.behind_mlp != nullptr;
         });
}

namespace {

// Those of segments as those of their tokens, behind so many others.
std::vector<double> token_weights(const MicroBatch& batch, std::int64_t first) {
  std::vector<double> weights(static_cast<std::size_t>(first) + batch.tokens.size());
  const auto begin = weights.begin() + first;
  for (std::size_t s = 0; s + 1 < batch.segments.size(); ++s) {
    std::fill(begin + batch.segments[s], begin + batch.segments[s + 1], batch.weights[s]);
  }
  return weights;
}

// A vector without its first elements.
TensorView from_element(const TensorView& vector, std::int64_t first) {
  return {vector.as<std::byte>() + static_cast<std::size_t>(first) * dtype_size(vector.dtype),
          vector.dtype, Shape{vector.num_elements() - first}};
}

}  // namespace

// The loss makes the head's gradients on the way, so the head's backward pass begins here.
double Transformer::forward_head(Tape& tape, const MicroBatch& batch, double scale, Value delta,
                                 Value stream, TensorView* token_losses) const {
  const int final_unit = layout_->final_unit();
  const bool own_unit = head_unit() == final_unit;
  const bool trains = tape.training() && head_.trains;
  tape.enter_unit(final_unit);
  const Value last =
      tape.add_norm(delta, stream, final_norm_, norm_rule(layout_->shape()), &stream);
  if (trains || !own_unit) {
    tape.leave_unit(final_unit);
  }
  if (trains) {
    tape.open_gradient(head_unit());
  } else if (!own_unit) {
    tape.enter_unit(head_unit());
  }
  Tape::Terms terms;
  std::vector<double> of_tokens;
  if (tape.training() && !weigh_ && !batch.weights.empty()) {
    of_tokens = token_weights(batch, virtual_.rows());
    terms.weights = of_tokens;
  }
  if (weigh_) {
    terms.weigh = [&](const TensorView& losses, const TensorView& weights) {
      return weigh_(batch, from_element(losses, virtual_.rows()),
                    from_element(weights, virtual_.rows()));
    };
  }
  if (teach_ && tape.training()) {
    terms.teacher = teach_(batch);
  }
  const auto& labels = virtual_.count > 0 ? tape.own_batch().labels : batch.labels;
  const double loss =
      tape.cross_entropy(last, head_, labels, scale, token_losses, first_token(), terms);
  if (token_losses != nullptr) {
    *token_losses = from_element(*token_losses, virtual_.rows());
  }
  if (!trains) {
    tape.leave_unit(head_unit());
  }
  return loss;
}

double Transformer::forward(Tape& tape, const MicroBatch& batch, double scale,
                            TensorView* token_losses) {
  const MicroBatch& run = virtual_.count > 0 ? tape.own_batch() : batch;
  Value delta = tape.input_value();
  Value stream = kNoValue;
  if (layout_->part().has_embedding) {
    tape.enter_unit(0);
    delta = tape.embedding(run.tokens, embedding_, first_token(), layout_->shape().embedding_scale,
                           virtual_.embeddings);
    if (virtual_.encoder != nullptr) {
      tape.encode(*virtual_.encoder);
    }
    tape.leave_unit(0);
  }
  if (layout_->has_positions()) {
    tape.enter_unit(layout_->positions_unit());
    delta = tape.add_positions(delta, run.positions, positions_);
    tape.leave_unit(layout_->positions_unit());
  }
  for (int i = 0; i < layout_->num_layers(); ++i) {
    forward_layer(tape, i, run, delta, stream);
  }
  if (layout_->part().has_head) {
    return forward_head(tape, batch, scale, delta, stream, token_losses);
  }
  tape.set_output(stream == kNoValue ? delta : tape.add(delta, stream));
  return 0;
}

TensorView Transformer::scored(const Tape& tape) const {
  const TensorView& all = tape.scored();
  return all.row_range(virtual_.rows(), all.rows());
}

const TensorView& Transformer::output(const Tape& tape) const {
  FS_CHECK(!layout_->part().has_head, "the last piece has no output but the loss");
  return tape.output();
}

TensorView Transformer::output_gradient(Tape& tape) {
  return layout_->part().has_head ? TensorView() : tape.output_gradient();
}

TensorView Transformer::backward(Tape& tape) {
  tape.backward();
  return tape.input_gradient();
}

void Transformer::add_embedding_rows(const Tape::EmbeddingRows& found) {
  FS_CHECK(layout_->head_is_copy() && !head_.gradient.empty(), "no copy of the embedding trains");
  add_rows(options_.stream, found.ids, found.rows, head_.gradient);
  if (options_.hooks.leave) {
    options_.hooks.leave(head_unit(), true);
  }
}

double Transformer::forward_backward(const MicroBatch& batch, std::int64_t max_tokens,
                                     double scale) {
  begin(tape_, batch, max_tokens, true);
  const double loss = forward(tape_, batch, scale);
  backward(tape_);
  return loss;
}

double Transformer::forward_loss(const MicroBatch& batch, std::int64_t max_tokens,
                                 TensorView* token_losses) {
  begin(tape_, batch, max_tokens, false);
  return forward(tape_, batch, 0, token_losses);
}

}  // namespace finescale
