// SPDX-License-Identifier: Apache-2.0
// A decoder-only transformer of any shape: forward only, written on the tape; all of it or a piece
// of a pipeline. It knows where weights and gradients lie, not who owns them. Activations are a
// tape's, so several micro-batches may be in flight, each on its own tape.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "worker/data/batch.h"
#include "worker/model/initialize.h"
#include "worker/model/model_layout.h"
#include "worker/model/parameters.h"
#include "worker/model/quantised_weights.h"
#include "worker/model/rounded_weights.h"
#include "worker/model/tape.h"

namespace finescale {

// The adapters of one layer, by stacked projection; null where there is none.
struct LayerAdapters {
  const LowRank* qkv = nullptr;
  const LowRank* o = nullptr;
  const LowRank* gate_up = nullptr;
  const LowRank* down = nullptr;
  const BranchNetwork* behind_attention = nullptr;
  const BranchNetwork* behind_mlp = nullptr;
  const PrefixKeys* prefix = nullptr;  // of the virtual tokens
};

// Learned tokens in front of every segment: all tokens see them, and their positions begin behind
// them. Either they go through the layers, once for a whole micro-batch, or each layer has their
// keys and values.
struct VirtualTokens {
  std::int64_t count = 0;
  bool go_through = false;
  const Weight* embeddings = nullptr;  // [count, C] where the embedding is; with go_through
  PrefixEncoder* encoder = nullptr;    // makes the keys and values; null: they are parameters
  // Rows that a micro-batch has more.
  [[nodiscard]] std::int64_t rows() const noexcept { return go_through ? count : 0; }
};

// What a method puts beside the base's weights.
struct ModelAdapters {
  std::vector<LayerAdapters> layers;  // one entry per layer, or none at all
  VirtualTokens virtual_tokens = {};
};

// Of the networks of adapters.
inline constexpr ActivationRule kBranchActivation = {DecoderShape::Activation::kGelu, false};

struct LayerWeights {  // what the shape has not is empty
  Weight input_norm, qkv, q_norm, k_norm, o, post_norm, gate_up, down;
};

struct TransformerOptions {
  Group* tensor = nullptr;  // ranks that share every layer; null: none
  Recompute recompute = Recompute::kNone;
  UnitHooks hooks;
  Stream stream = Stream();
  const RoundedWeights* rounded = nullptr;      // multiplied by instead of the values; outlives it
  const QuantisedWeights* quantised = nullptr;  // of the tensors that are not stored; outlives it
};

class Transformer {
 public:
  // weights must have been declared by layout and allocated.
  Transformer(const ModelLayout& layout, const ParameterSet& weights,
              TransformerOptions options = {});
  // The values lie elsewhere, at addresses that stay.
  Transformer(const ModelLayout& layout, const ParameterSet& weights, const UnitBlocks& values,
              TransformerOptions options = {});
  ~Transformer() = default;
  Transformer(const Transformer&) = delete;  // tapes point here
  Transformer& operator=(const Transformer&) = delete;

  void set_adapters(ModelAdapters adapters) {
    adapters_ = std::move(adapters.layers);
    adapters_.resize(static_cast<std::size_t>(layout_->num_layers()));
    virtual_ = adapters.virtual_tokens;
  }
  // Which tensors of the base train; before the first forward pass of a training step.
  void set_trains(const std::function<bool(int tensor)>& trains);
  void set_trains(bool trains) {
    set_trains([trains](int) { return trains; });
  }
  // The loss of a micro-batch when training, from the losses of its tokens: see
  // Tape::cross_entropy. Empty: their sum.
  using Weigh = std::function<double(const MicroBatch& batch, const TensorView& losses,
                                     const TensorView& weights)>;
  void set_weigh(Weigh weigh) { weigh_ = std::move(weigh); }
  // The teacher's part in the loss of a micro-batch when training; null: there is none.
  using Teach = std::function<TeacherRows(const MicroBatch& batch)>;
  void set_teach(Teach teach) { teach_ = std::move(teach); }
  // Where the next backward pass (with a head: the next forward pass too) adds the gradients of
  // what trains of the base; empty: nothing does.
  void bind_gradient(const UnitBlocks& blocks);
  // The same where single tensors train, or single elements: by tensor of the base.
  void bind_gradients(const std::vector<TensorGradient>& gradients);

  // Whether products are of other numbers than the weights' f32 values.
  [[nodiscard]] bool multiplies_rounded() const noexcept {
    return options_.rounded != nullptr && !options_.rounded->is_exact();
  }
  // For passes during which no weight changes, or moves: where products round their operands the
  // matrices are rounded once, until the result is gone.
  [[nodiscard]] std::vector<std::unique_ptr<SharedOperand>> share_weights() const;
  // Sum of the losses of the micro-batch's labels. When training, gradients of scale x that sum are
  // added where they are bound. The model must be whole.
  double forward_backward(const MicroBatch& batch, std::int64_t max_tokens, double scale);
  // Loss only. token_losses, when given, stay valid until the next call.
  double forward_loss(const MicroBatch& batch, std::int64_t max_tokens,
                      TensorView* token_losses = nullptr);

  // The same in steps, for a piece of a pipeline. Hidden states are the residual stream, [T, C] or
  // this rank's rows of it. batch must outlive the backward pass.
  [[nodiscard]] Tape make_tape() const;
  // Begins a micro-batch; returns where its hidden state belongs, empty with the embedding.
  TensorView begin(Tape& tape, const MicroBatch& batch, std::int64_t max_tokens, bool training);
  // The loss, 0 without the head. Collective over the tensor group.
  double forward(Tape& tape, const MicroBatch& batch, double scale,
                 TensorView* token_losses = nullptr);
  // What was in front of the head, by token of the batch; see Tape::scored.
  [[nodiscard]] TensorView scored(const Tape& tape) const;
  // Hidden state for the next piece; valid until the tape's backward pass.
  [[nodiscard]] const TensorView& output(const Tape& tape) const;
  // Where its gradient belongs before backward(), empty with the head.
  [[nodiscard]] TensorView output_gradient(Tape& tape);
  // Returns the gradient of the hidden state, empty with the embedding; valid until the tape's next
  // begin. Collective over the tensor group.
  TensorView backward(Tape& tape);
  // Rows of the tied embedding's gradient that the piece with the embedding found (ids [U], rows
  // [U, C]) onto the head's, bound for the same micro-batch; completes the head's unit.
  void add_embedding_rows(const Tape::EmbeddingRows& found);

  [[nodiscard]] const ModelLayout& layout() const noexcept { return *layout_; }
  [[nodiscard]] const ParameterSet& weights() const noexcept { return *weights_; }
  [[nodiscard]] const Tape& tape() const noexcept { return tape_; }  // of the whole-model calls
  [[nodiscard]] const Stream& stream() const noexcept { return options_.stream; }
  [[nodiscard]] Group* tensor_group() const noexcept { return options_.tensor; }
  [[nodiscard]] const UnitHooks& hooks() const noexcept { return options_.hooks; }
  [[nodiscard]] const TensorView& rope_cos() const noexcept { return cos_; }
  [[nodiscard]] const TensorView& rope_sin() const noexcept { return sin_; }
  [[nodiscard]] const std::vector<LayerAdapters>& adapters() const noexcept { return adapters_; }
  [[nodiscard]] const VirtualTokens& virtual_tokens() const noexcept { return virtual_; }
  // That a segment may take.
  [[nodiscard]] std::int64_t num_positions() const noexcept {
    return layout_->shape().max_positions - virtual_.count;
  }
  [[nodiscard]] const LayerWeights& layer(int index) const {
    return layers_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] const Weight& embedding() const noexcept { return embedding_; }
  [[nodiscard]] const Weight& positions() const noexcept { return positions_; }  // learned
  [[nodiscard]] const Weight& final_norm() const noexcept { return final_norm_; }
  [[nodiscard]] const Weight& head() const noexcept { return head_; }
  // First token whose row of the embedding and the head this rank holds.
  [[nodiscard]] std::int64_t first_token() const noexcept;
  [[nodiscard]] int head_unit() const noexcept;

 private:
  // Calls set(weight, its tensors) for each of the base's weights.
  template <class Set>
  void for_each_weight(Set&& set);
  void bind_values(const UnitBlocks& values);
  void make_rope_tables();
  Value attend(Tape& tape, int index, const MicroBatch& batch, Value normed) const;
  Value feed_forward(Tape& tape, int index, Value normed) const;
  void put_in_front(const MicroBatch& batch, MicroBatch& longer) const;
  static Value behind(Tape& tape, Value x, const BranchNetwork* network);
  void forward_layer(Tape& tape, int index, const MicroBatch& batch, Value& delta,
                     Value& stream) const;
  [[nodiscard]] bool has_adapters() const;
  [[nodiscard]] bool trains_layer(int index) const;
  [[nodiscard]] double forward_head(Tape& tape, const MicroBatch& batch, double scale, Value delta,
                                    Value stream, TensorView* token_losses) const;

  const ModelLayout* layout_;
  const ParameterSet* weights_;
  TransformerOptions options_;
  std::vector<LayerAdapters> adapters_;
  VirtualTokens virtual_;
  Weigh weigh_;
  Teach teach_;
  Weight embedding_, positions_, final_norm_, head_;
  std::vector<LayerWeights> layers_;
  AlignedBuffer rope_memory_;
  TensorView cos_;
  TensorView sin_;
  Tape tape_;
};

}  // namespace finescale
