// SPDX-License-Identifier: Apache-2.0
#include "worker/model/transformer.h"

#include "core/error.h"
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
  const std::int64_t half = layout_->config().head_dim() / 2;
  const std::int64_t positions = layout_->config().max_positions();
  const DType dtype = weights_->dtype();
  rope_memory_ = AlignedBuffer(static_cast<std::size_t>(2 * positions * half) * dtype_size(dtype));
  const TensorView table(rope_memory_.data(), dtype, Shape{2 * positions, half});
  cos_ = table.row_range(0, positions);
  sin_ = table.row_range(positions, 2 * positions);
  rope_table(layout_->config().rope_theta(), cos_, sin_);
}

template <class Set>
void Transformer::for_each_weight(Set&& set) {
  if (layout_->part().has_embedding) {
    set(embedding_, layout_->embedding(), layout_->embedding());
  }
  for (int i = 0; i < layout_->num_layers(); ++i) {
    const LayerIndex& index = layout_->layer(i);
    LayerWeights& layer = layers_[static_cast<std::size_t>(i)];
    set(layer.input_norm, index.input_norm, index.input_norm);
    set(layer.qkv, index.q, index.v);
    set(layer.o, index.o, index.o);
    set(layer.post_norm, index.post_norm, index.post_norm);
    set(layer.gate_up, index.gate, index.up);
    set(layer.down, index.down, index.down);
  }
  if (layout_->part().has_head) {
    set(final_norm_, layout_->final_norm(), layout_->final_norm());
    set(head_, layout_->head(), layout_->head());
  }
}

void Transformer::bind_values(const UnitBlocks& values) {
  for_each_weight([&](Weight& weight, int first, int last) {
    weight.value =
        first == last ? weights_->view_in(values, first) : weights_->stack_in(values, first, last);
  });
}

void Transformer::set_trains(bool trains) {
  for_each_weight([&](Weight& weight, int, int) { weight.trains = trains; });
}

void Transformer::bind_gradient(const UnitBlocks& blocks) {
  set_trains(!blocks.empty());
  for_each_weight([&](Weight& weight, int first, int last) {
    if (blocks.empty()) {
      weight.gradient = TensorView();
    } else {
      weight.gradient = first == last ? weights_->view_in(blocks, first)
                                      : weights_->stack_in(blocks, first, last);
    }
  });
  if (layout_->config().tie_embeddings() && !layout_->part().has_head) {
    embedding_.gradient = TensorView();  // its rows belong to the head's, in another piece
  }
}

std::int64_t Transformer::first_token() const noexcept {
  return layout_->config().vocab_size() / layout_->part().tensor_size *
         std::int64_t{layout_->part().tensor_rank};
}

int Transformer::head_unit() const noexcept {
  return weights_->unit_of(layout_->head());
}

TensorView Transformer::begin(Tape& tape, const MicroBatch& batch, std::int64_t max_tokens,
                              bool training) {
  tape.begin(batch.num_tokens(), max_tokens, training);
  if (layout_->part().has_embedding) {
    return {};
  }
  return tape.data(tape.input(layout_->config().hidden_size()));
}

void Transformer::forward_layer(Tape& tape, int index, const MicroBatch& batch, Value& delta,
                                Value& stream) const {
  const LayerWeights& layer = layers_[static_cast<std::size_t>(index)];
  const LayerAdapters& adapters = adapters_[static_cast<std::size_t>(index)];
  const AttentionShape attention = layout_->attention();
  const std::int64_t rotated =
      std::int64_t{attention.num_heads + attention.num_kv_heads} * attention.head_dim;
  const double eps = layout_->config().rms_norm_eps();
  tape.enter_unit(layout_->layer_unit(index), layout_->config().hidden_size());
  const Value normed = tape.add_norm(delta, stream, layer.input_norm, eps, &stream);
  const Value qkv = tape.linear(normed, layer.qkv, adapters.qkv);
  tape.rope(qkv, rotated, batch.positions, cos_, sin_);
  const Value mixed = tape.attention(qkv, attention, batch.segments);
  delta = tape.linear(mixed, layer.o, adapters.o, Split::kInputs);
  const Value inner = tape.add_norm(delta, stream, layer.post_norm, eps, &stream);
  const Value gate_up = tape.linear(inner, layer.gate_up, adapters.gate_up);
  delta = tape.linear(tape.swiglu(gate_up), layer.down, adapters.down, Split::kInputs);
  tape.leave_unit(layout_->layer_unit(index));
  if (tape.keeps_sum()) {  // the layer's output, alone: the next norm has nothing to add
    delta = tape.add(delta, stream);
    stream = kNoValue;
  }
}

// The loss makes the head's gradients on the way, so the head's backward pass begins here.
double Transformer::forward_head(Tape& tape, const MicroBatch& batch, double scale, Value delta,
                                 Value stream, TensorView* token_losses) const {
  const int final_unit = layout_->final_unit();
  const bool own_unit = head_unit() == final_unit;
  const bool trains = tape.training() && head_.trains;
  tape.enter_unit(final_unit);
  const Value last =
      tape.add_norm(delta, stream, final_norm_, layout_->config().rms_norm_eps(), &stream);
  if (trains || !own_unit) {
    tape.leave_unit(final_unit);
  }
  if (trains) {
    tape.open_gradient(head_unit());
  } else if (!own_unit) {
    tape.enter_unit(head_unit());
  }
  const double loss =
      tape.cross_entropy(last, head_, batch.labels, scale, token_losses, first_token());
  if (!trains) {
    tape.leave_unit(head_unit());
  }
  return loss;
}

double Transformer::forward(Tape& tape, const MicroBatch& batch, double scale,
                            TensorView* token_losses) {
  Value delta = tape.input_value();
  Value stream = kNoValue;
  if (layout_->part().has_embedding) {
    tape.enter_unit(0);
    delta = tape.embedding(batch.tokens, embedding_, first_token());
    tape.leave_unit(0);
  }
  for (int i = 0; i < layout_->num_layers(); ++i) {
    forward_layer(tape, i, batch, delta, stream);
  }
  if (layout_->part().has_head) {
    return forward_head(tape, batch, scale, delta, stream, token_losses);
  }
  tape.set_output(stream == kNoValue ? delta : tape.add(delta, stream));
  return 0;
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
