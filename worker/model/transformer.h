// SPDX-License-Identifier: Apache-2.0
// The llama-style decoder: forward only, written on the tape. Weights are logical tensors with the
// names of the Hugging Face layout; q, k, v and gate, up lie next to each other so that each pair
// or triple is one GEMM.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "configs/schema/model.pb.h"
#include "worker/data/batch.h"
#include "worker/model/parameters.h"
#include "worker/model/tape.h"

namespace finescale {

struct LayerIndex {  // indices into the weights' ParameterSet
  int input_norm = -1, q = -1, k = -1, v = -1, o = -1, post_norm = -1, gate = -1, up = -1,
      down = -1;
};

// Shape and names of a llama model; owns no weights.
class ModelLayout {
 public:
  explicit ModelLayout(const config::Llama& config);
  // Declares every tensor; the caller allocates.
  void declare(ParameterSet& weights);

  [[nodiscard]] const config::Llama& config() const noexcept { return config_; }
  [[nodiscard]] AttentionShape attention() const noexcept { return attention_; }
  [[nodiscard]] const LayerIndex& layer(int index) const {
    return layers_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] int num_layers() const noexcept { return static_cast<int>(layers_.size()); }
  [[nodiscard]] int embedding() const noexcept { return embedding_; }
  [[nodiscard]] int final_norm() const noexcept { return final_norm_; }
  [[nodiscard]] int head() const noexcept { return head_; }  // the embedding when tied
  // Parameters of matrices that multiply every token: all but norms and the embedding (the head is
  // counted by itself).
  [[nodiscard]] std::int64_t num_layer_parameters() const noexcept { return num_layer_parameters_; }

 private:
  config::Llama config_;
  AttentionShape attention_;
  std::vector<LayerIndex> layers_;
  int embedding_ = -1;
  int final_norm_ = -1;
  int head_ = -1;
  std::int64_t num_layer_parameters_ = 0;
};

// Fresh weights: normal(0, initializer_range) keyed by (seed, tensor name, element), norms 1. No
// rank or order matters.
void initialize_weights(const ModelLayout& layout, std::int64_t seed, ParameterSet& weights);

// The adapters of one layer, by stacked projection; null where there is none.
struct LayerAdapters {
  const LowRank* qkv = nullptr;
  const LowRank* o = nullptr;
  const LowRank* gate_up = nullptr;
  const LowRank* down = nullptr;
};

class Transformer {
 public:
  // weights must have been declared by layout. base_gradient: flat block of the same layout that
  // gradients are added to, or empty when the base is frozen; it may move from call to call.
  Transformer(const ModelLayout& layout, const ParameterSet& weights);

  // One entry per layer, or none at all.
  void set_adapters(std::vector<LayerAdapters> adapters) {
    adapters_ = std::move(adapters);
    adapters_.resize(static_cast<std::size_t>(layout_->num_layers()));
  }

  // Sum of the losses of the micro-batch's labels. When training, gradients of scale x that sum are
  // added to base_gradient and to the adapters' gradients.
  double forward_backward(const MicroBatch& batch, std::int64_t max_tokens, double scale,
                          const TensorView& base_gradient);
  // Loss only. token_losses, when given, stay valid until the next call.
  double forward_loss(const MicroBatch& batch, std::int64_t max_tokens,
                      TensorView* token_losses = nullptr);

  [[nodiscard]] const ModelLayout& layout() const noexcept { return *layout_; }
  [[nodiscard]] const ParameterSet& weights() const noexcept { return *weights_; }
  [[nodiscard]] const Tape& tape() const noexcept { return tape_; }
  [[nodiscard]] const TensorView& rope_cos() const noexcept { return cos_; }
  [[nodiscard]] const TensorView& rope_sin() const noexcept { return sin_; }
  [[nodiscard]] const std::vector<LayerAdapters>& adapters() const noexcept { return adapters_; }

 private:
  [[nodiscard]] Weight weight(int index, const TensorView& base_gradient) const;
  [[nodiscard]] Weight stack(int first, int last, const TensorView& base_gradient) const;
  double forward(const MicroBatch& batch, std::int64_t max_tokens, double scale,
                 const TensorView& base_gradient, bool training, TensorView* token_losses);

  const ModelLayout* layout_;
  const ParameterSet* weights_;
  std::vector<LayerAdapters> adapters_;
  Tape tape_;
  AlignedBuffer rope_memory_;
  TensorView cos_;
  TensorView sin_;
};

}  // namespace finescale
