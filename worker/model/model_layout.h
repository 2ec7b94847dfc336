// SPDX-License-Identifier: Apache-2.0
// Names of a model's tensors, or of the part of it that a rank holds: a range of layers (pipeline)
// and a share of every matrix (tensor). Names are those of the Hugging Face layout of llama; q, k,
// v and gate, up lie next to each other so that each pair or triple is one GEMM, and so do their
// biases. Owns no weights.
#pragma once

#include <cstdint>
#include <vector>

#include "configs/decoder.h"
#include "kernels/attention.h"
#include "worker/model/parameters.h"

namespace finescale {

// Tensors first..last of a ParameterSet, stacked; -1: the model has none.
struct StackIndex {
  int first = -1, last = -1;
  int bias_first = -1, bias_last = -1;
};

struct LayerIndex {  // indices into the weights' ParameterSet, -1: the model has none
  StackIndex input_norm, qkv, q_norm, k_norm, o, post_norm, gate_up, down;
  int q = -1, k = -1, v = -1, gate = -1, up = -1;  // matrices by themselves
};

// What a rank holds of a model; by default all of it.
struct ModelPart {
  int tensor_rank = 0;
  int tensor_size = 1;
  int first_layer = 0;
  int num_layers = -1;  // -1: to the last
  bool has_embedding = true;
  bool has_head = true;  // final norm, head and loss
};

class ModelLayout {
 public:
  explicit ModelLayout(DecoderShape shape, const ModelPart& part = {});
  explicit ModelLayout(const config::ModelConfig& config, const ModelPart& part = {})
      : ModelLayout(decoder_shape(config), part) {}
  // Declares every tensor of the part; the caller allocates. Units in order: embedding, learned
  // positions, one per layer, final norm with an untied head. A piece with a tied head but without
  // the embedding holds a copy of the embedding in a last unit of its own.
  void declare(ParameterSet& weights);

  [[nodiscard]] const DecoderShape& shape() const noexcept { return shape_; }  // whole model
  [[nodiscard]] const ModelPart& part() const noexcept { return part_; }
  // This rank's heads; index from 0 at first_layer.
  [[nodiscard]] AttentionShape attention(int index) const noexcept;
  [[nodiscard]] const LayerIndex& layer(int index) const {  // from 0 at first_layer
    return layers_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] int num_layers() const noexcept { return part_.num_layers; }
  [[nodiscard]] const StackIndex& embedding() const noexcept { return embedding_; }
  [[nodiscard]] const StackIndex& positions() const noexcept { return positions_; }
  [[nodiscard]] const StackIndex& final_norm() const noexcept { return final_norm_; }
  [[nodiscard]] const StackIndex& head() const noexcept { return head_; }  // embedding when tied
  [[nodiscard]] bool head_is_copy() const noexcept {
    return part_.has_head && !part_.has_embedding && shape_.tied;
  }
  [[nodiscard]] bool has_positions() const noexcept {
    return part_.has_embedding && shape_.learned_positions;
  }
  [[nodiscard]] int positions_unit() const noexcept { return 1; }  // with has_positions()
  [[nodiscard]] int layer_unit(int index) const noexcept {
    return index + static_cast<int>(part_.has_embedding) + static_cast<int>(has_positions());
  }
  [[nodiscard]] int final_unit() const noexcept { return layer_unit(part_.num_layers); }
  // Parameters of the whole model's matrices that multiply every token: all but norms, biases and
  // the embedding (the head is counted by itself).
  [[nodiscard]] std::int64_t num_layer_parameters() const noexcept;

 private:
  void declare_layer(int index, ParameterSet& weights);

  DecoderShape shape_;
  ModelPart part_;
  std::vector<LayerIndex> layers_;
  StackIndex embedding_, positions_, final_norm_, head_;
};

}  // namespace finescale
