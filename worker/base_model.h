// SPDX-License-Identifier: Apache-2.0
// This rank's part of a model's weights: for each of its pieces the shapes, the cut into slices,
// and the store that holds the values. Knows nothing of training.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "configs/schema/model.pb.h"
#include "core/paged_memory.h"
#include "sharding/parameter_store.h"
#include "sharding/shard_plan.h"
#include "worker/engine.h"
#include "worker/methods/base_weights.h"
#include "worker/model/model_layout.h"
#include "worker/model/quantised_weights.h"
#include "worker/model/rounded_weights.h"

namespace finescale {

// How a base is kept; by default its values are. Rounded: matrices are bf16 only, for training with
// Products::kBf16 by a method that leaves the base as it is and does not read it; in the host's
// memory, below ZeRO-3. Quantised: matrices of layers are codes of a few bits. The table in which
// tokens are looked up has f32 values; with rounds_table these are bf16, and rounded it is bf16
// only. is_bf16 holds for tensors whose values are bf16's: matrices and tables of them alone are
// kept as that, for row_gemm, whose bits are those of the values; nothing else multiplies by them.
struct BaseForm {
  bool is_rounded = false;
  std::optional<Quantisation> quantised = {};
  bool rounds_table = false;
  std::function<bool(const std::string& tensor)> is_bf16 = {};
};

// What a model is opened for. kGenerates: matrices that its files store as bf16 are kept as that
// alone, half the memory and the same bits; only a Decoder reads them.
enum class ModelUse : std::uint8_t { kMeasures, kGenerates };

struct BasePiece {
  // Values are zero. Quantised matrices are whole on every rank of the shard axis, and have no
  // values before they are filled. Collective over the shard axis.
  BasePiece(const Engine& engine, const DecoderShape& shape, const ModelPart& part, DType dtype,
            const BaseForm& form);
  ~BasePiece() = default;
  BasePiece(const BasePiece&) = delete;
  BasePiece& operator=(const BasePiece&) = delete;

  ModelLayout layout;
  ParameterSet weights;  // shapes only: the store has the values
  ShardPlan plan;
  PagedMemory values;  // of the store in the rounded form
  ParameterStore store;
  std::unique_ptr<QuantisedWeights> quantised;  // likewise; null: not so
  std::unique_ptr<RoundedWeights> rounded;      // instead of the matrices' values; null: not so
  bool rounds_table;                            // as BaseForm
};

struct BaseModel {
  config::ModelConfig config;
  Stream stream = Stream();                        // whose device has the values
  std::string key;                                 // artifact it came from; empty when fresh
  std::vector<std::unique_ptr<BasePiece>> pieces;  // by chunk
};

// Pieces of every rank are cut by cost; this rank's are chunk * P + p. Collective over the mesh.
[[nodiscard]] BaseModel make_base_model(const Engine& engine, const config::ModelConfig& config,
                                        DType dtype, const BaseForm& form = {});
// Calls fill(piece, tensor) for every tensor of this rank's pieces in order. In the rounded form a
// unit is rounded when its last tensor is there, so that no more than one has its values.
void fill_base(BaseModel& model, const std::function<void(BasePiece& piece, int tensor)>& fill);
// Fresh values keyed by (seed, tensor, element): the same model on every mesh.
void initialize(BaseModel& model, std::int64_t seed);
// Fills what this rank keeps of a tensor, or quantises the whole of it: see ParameterStore::fill.
void fill_tensor(BasePiece& piece, int tensor, const ParameterStore::Read& read);
// Another model with the same values, all in stores. Collective over the mesh.
[[nodiscard]] BaseModel copy_of(const Engine& engine, const BaseModel& model);
// Values from group /model of a checkpoint of any mesh, neither rounded nor quantised. Collective
// over the reader's group.
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
