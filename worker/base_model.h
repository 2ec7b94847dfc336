// SPDX-License-Identifier: Apache-2.0
// This rank's part of a model's weights: for each of its pieces the shapes, the cut into slices,
// and the store that holds the values. Knows nothing of training.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "configs/schema/model.pb.h"
#include "sharding/parameter_store.h"
#include "sharding/shard_plan.h"
#include "worker/engine.h"
#include "worker/methods/base_weights.h"
#include "worker/model/model_layout.h"
#include "worker/model/quantised_weights.h"

namespace finescale {

struct BasePiece {
  // Values are zero. With `how` the matrices of the layers are quantised, whole on every rank of
  // the shard axis, and have no values before they are filled. Collective over the shard axis.
  BasePiece(const Engine& engine, const DecoderShape& shape, const ModelPart& part, DType dtype,
            const std::optional<Quantisation>& how = {});
  ~BasePiece() = default;
  BasePiece(const BasePiece&) = delete;
  BasePiece& operator=(const BasePiece&) = delete;

  ModelLayout layout;
  ParameterSet weights;  // shapes only: the store has the values
  ShardPlan plan;
  ParameterStore store;
  std::unique_ptr<QuantisedWeights> quantised;  // null: all values are in the store
};

struct BaseModel {
  config::ModelConfig config;
  Stream stream = Stream();                        // whose device has the values
  std::string key;                                 // artifact it came from; empty when fresh
  std::vector<std::unique_ptr<BasePiece>> pieces;  // by chunk
};

// Pieces of every rank are cut by cost; this rank's are chunk * P + p. Collective over the mesh.
[[nodiscard]] BaseModel make_base_model(const Engine& engine, const config::ModelConfig& config,
                                        DType dtype, const std::optional<Quantisation>& how = {});
// Fresh values keyed by (seed, tensor, element): the same model on every mesh.
void initialize(BaseModel& model, std::int64_t seed);
// Fills what this rank keeps of a tensor, or quantises the whole of it: see ParameterStore::fill.
void fill_tensor(BasePiece& piece, int tensor, const ParameterStore::Read& read);
// Another model with the same values, all in stores. Collective over the mesh.
[[nodiscard]] BaseModel copy_of(const Engine& engine, const BaseModel& model);
// Values from group /model of a checkpoint of any mesh, into a base that is not quantised.
// Collective over the reader's group.
void read_base(CheckpointReader& reader, BaseModel& model);

// The values of a piece, for a method; valid as long as the piece.
[[nodiscard]] BaseWeights base_weights(const Engine& engine, BasePiece& piece);

// Elements of the whole model.
[[nodiscard]] std::int64_t num_parameters(const config::ModelConfig& config);

// What a rank keeps of a set's tensors in `store`, below `group`, as a checkpoint reads it.
[[nodiscard]] std::vector<CheckpointTensor> kept_tensors(const std::string& group,
                                                         const ParameterSet& set,
                                                         ParameterStore& store);

}  // namespace finescale
