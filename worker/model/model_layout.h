// SPDX-License-Identifier: Apache-2.0
// Shape and names of a llama model, or of the part of it that a rank holds: a range of layers
// (pipeline) and a share of every matrix (tensor). Names are those of the Hugging Face layout; q,
// k, v and gate, up lie next to each other so that each pair or triple is one GEMM. Owns no
// weights.
#pragma once

#include <cstdint>
#include <vector>

#include "configs/schema/model.pb.h"
#include "kernels/attention.h"
#include "worker/model/parameters.h"

namespace finescale {

struct LayerIndex {  // indices into the weights' ParameterSet
  int input_norm = -1, q = -1, k = -1, v = -1, o = -1, post_norm = -1, gate = -1, up = -1,
      down = -1;
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
  explicit ModelLayout(const config::Llama& config, const ModelPart& part = {});
  // Declares every tensor of the part; the caller allocates. Units in order: embedding, one per
  // layer, final norm with an untied head. A piece with a tied head but without the embedding holds
  // a copy of the embedding in a last unit of its own.
  void declare(ParameterSet& weights);

  [[nodiscard]] const config::Llama& config() const noexcept { return config_; }  // whole model
  [[nodiscard]] const ModelPart& part() const noexcept { return part_; }
  [[nodiscard]] AttentionShape attention() const noexcept {
    return attention_;
  }                                                         // this rank's heads
  [[nodiscard]] const LayerIndex& layer(int index) const {  // from 0 at first_layer
    return layers_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] int num_layers() const noexcept { return part_.num_layers; }
  [[nodiscard]] int embedding() const noexcept { return embedding_; }  // -1: in another piece
  [[nodiscard]] int final_norm() const noexcept { return final_norm_; }
  [[nodiscard]] int head() const noexcept { return head_; }  // the embedding when tied
  [[nodiscard]] bool head_is_copy() const noexcept {
    return part_.has_head && !part_.has_embedding && config_.tie_embeddings();
  }
  [[nodiscard]] int layer_unit(int index) const noexcept {
    return index + static_cast<int>(part_.has_embedding);
  }
  [[nodiscard]] int final_unit() const noexcept { return layer_unit(part_.num_layers); }
  // Parameters of the whole model's matrices that multiply every token: all but norms and the
  // embedding (the head is counted by itself).
  [[nodiscard]] std::int64_t num_layer_parameters() const noexcept { return num_layer_parameters_; }

 private:
  void declare_layer(int index, ParameterSet& weights);

  config::Llama config_;
  ModelPart part_;
  AttentionShape attention_;
  std::vector<LayerIndex> layers_;
  int embedding_ = -1;
  int final_norm_ = -1;
  int head_ = -1;
  std::int64_t num_layer_parameters_ = 0;
};

}  // namespace finescale
