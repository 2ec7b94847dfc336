// SPDX-License-Identifier: Apache-2.0
#include "worker/base_model.h"

#include <utility>

#include "configs/mesh_plan.h"
#include "core/error.h"
#include "core/transfer.h"
#include "kernels/round.h"
#include "sharding/planner/pieces.h"
#include "worker/checkpoint_tensors.h"
#include "worker/model/initialize.h"

namespace finescale {

namespace {

ParameterSet declared(ModelLayout& layout, DType dtype, const MeshShape& shape,
                      const MeshCoord& coord, const BaseForm& form) {
  ParameterSet weights(dtype, coord.tensor, shape.tensor);
  if (form.quantised) {
    weights.leave_out(is_quantised);
  } else if (form.is_bf16) {
    ModelLayout whole = layout;
    ParameterSet all(dtype, coord.tensor, shape.tensor);
    whole.declare(all);
    weights.leave_out([names = tensors_of_matrices(whole, all, form.is_bf16)](
                          const std::string& name) { return names.contains(name); });
  }
  layout.declare(weights);
  return weights;
}

PassingUnits layer_units(const ModelLayout& layout) {
  return {layout.layer_unit(0), layout.num_layers()};
}

}  // namespace

BasePiece::BasePiece(const Engine& engine, const DecoderShape& shape, const ModelPart& part,
                     DType dtype, const BaseForm& form)
    : layout(shape, part),
      weights(declared(layout, dtype, engine.mesh->shape(), engine.mesh->coord(), form)),
      plan(weights.units(), engine.mesh->replica().size(), layer_units(layout)),
      values(form.is_rounded ? static_cast<std::size_t>(weights.num_elements()) * dtype_size(dtype)
                             : 0),
      store(*engine.mesh, plan, dtype, engine.zero_stage, engine.reductions,
            form.is_rounded ? TensorView(values.data(), dtype, Shape{weights.num_elements()})
                            : TensorView(),
            engine.stream),
      quantised(form.quantised ? std::make_unique<QuantisedWeights>(*form.quantised, engine.stream)
                               : nullptr),
      rounds_table(form.rounds_table) {
  if (form.is_rounded) {
    rounded = std::make_unique<RoundedWeights>(
        layout, weights, [](int /*tensor*/) { return true; }, Stream(), rounds_table);
  } else if (form.is_bf16 && !form.quantised) {
    rounded =
        std::make_unique<RoundedWeights>(layout, weights, engine.stream, RoundedWeights::LeftOut());
  }
}

BaseModel make_base_model(const Engine& engine, const config::ModelConfig& config, DType dtype,
                          const BaseForm& form) {
  BaseModel model;
  model.config = config;
  model.stream = engine.stream;
  const DecoderShape decoder = decoder_shape(config);
  const int pieces = engine.num_pieces();
  const std::vector<LayerRange> ranges = planner::layers_of_pieces(model_shape(decoder), pieces);
  const MeshShape& shape = engine.mesh->shape();
  for (int chunk = 0; chunk < engine.chunks; ++chunk) {
    const int piece = chunk * shape.pipeline + engine.mesh->coord().pipeline;
    const LayerRange& range = ranges[static_cast<std::size_t>(piece)];
    const ModelPart part{.tensor_rank = engine.mesh->coord().tensor,
                         .tensor_size = shape.tensor,
                         .first_layer = range.begin,
                         .num_layers = range.end - range.begin,
                         .has_embedding = piece == 0,
                         .has_head = piece == pieces - 1};
    model.pieces.push_back(std::make_unique<BasePiece>(engine, decoder, part, dtype, form));
  }
  return model;
}

void fill_tensor(BasePiece& piece, int tensor, const ParameterStore::Read& values_of) {
  const LocalPart& part = piece.weights.part(tensor);
  const bool rounds = piece.rounds_table && tensor == piece.layout.embedding().first;
  const ParameterStore::Read read = [&](const LocalPart& slab, const TensorView& values) {
    values_of(slab, values);
    if (rounds) {
      round_to_bf16(Stream(), values, values);
    }
  };
  if (piece.weights.is_stored(tensor)) {
    piece.store.fill(part, piece.weights.offset(tensor), read);
  } else if (piece.quantised == nullptr) {
    piece.rounded->fill(tensor, read);
  } else {
    piece.quantised->fill(tensor, piece.weights.tensor(tensor), part, piece.weights.dtype(), read);
  }
}

void fill_base(BaseModel& model, const std::function<void(BasePiece& piece, int tensor)>& fill) {
  for (const auto& piece : model.pieces) {
    const ParameterSet& weights = piece->weights;
    for (int index = 0; index < weights.size(); ++index) {
      fill(*piece, index);
      const int unit = weights.unit_of(index);
      const bool is_last = index + 1 == weights.size() || weights.unit_of(index + 1) != unit;
      if (is_last && piece->rounded != nullptr && !piece->rounded->is_exact()) {
        piece->rounded->replace(model.stream, unit, piece->store.blocks());
      }
    }
  }
}

void initialize(BaseModel& model, std::int64_t seed) {
  fill_base(model, [seed](BasePiece& piece, int index) {
    const LogicalTensor& tensor = piece.weights.tensor(index);
    fill_tensor(piece, index, [&](const LocalPart& slab, const TensorView& values) {
      initialize_tensor(piece.layout.shape(), seed, tensor, slab, values);
    });
  });
}

BaseModel copy_of(const Engine& engine, const BaseModel& model) {
  const DType dtype = model.pieces.front()->weights.dtype();
  BaseModel copy = make_base_model(engine, model.config, dtype);
  for (std::size_t i = 0; i < copy.pieces.size(); ++i) {
    FS_CHECK(model.pieces[i]->rounded == nullptr, "a rounded base has no values to copy");
    ParameterStore& from = model.pieces[i]->store;
    ParameterStore& to = copy.pieces[i]->store;
    const std::int64_t end = copy.pieces[i]->weights.num_elements();
    const auto sources = from.pieces(0, end);
    const auto targets = to.pieces(0, end);
    FS_CHECK(sources.size() == targets.size(), "a copy is cut like its original");
    for (std::size_t piece = 0; piece < sources.size(); ++piece) {
      copy_on_device(engine.stream, sources[piece].values.data, targets[piece].values.data,
                     sources[piece].values.size_bytes());
    }
  }
  return copy;
}

BaseWeights base_weights(const Engine& engine, BasePiece& piece) {
  BaseWeights weights;
  weights.set = &piece.weights;
  weights.blocks = piece.store.blocks();
  weights.enter = [&piece](int unit) { piece.store.acquire(unit, -1); };
  weights.leave = [&piece](int unit) { piece.store.release(unit); };
  weights.change = [&piece](int tensor, const BaseWeights::Put& put) {
    const std::int64_t first = piece.weights.offset(tensor);
    const std::int64_t last = first + piece.weights.local_shape(tensor).num_elements();
    piece.store.forget();
    for (const ParameterStore::Piece& kept : piece.store.pieces(first, last)) {
      put(kept.range.begin - first, kept.range.end - first, kept.values);
    }
  };
  weights.tensor = engine.mesh->shape().tensor > 1 ? &engine.mesh->tensor() : nullptr;
  weights.replica = engine.mesh->replica().size() > 1 ? &engine.mesh->replica() : nullptr;
  return weights;
}

std::int64_t num_parameters(const config::ModelConfig& config) {
  ModelLayout layout(config);
  ParameterSet weights(DType::kF32);
  layout.declare(weights);
  return weights.num_elements();
}

std::vector<CheckpointTensor> kept_tensors(const std::string& group, const ParameterSet& set,
                                           ParameterStore& store) {
  std::vector<CheckpointTensor> kept;
  for (int index = 0; index < set.size(); ++index) {
    if (!set.is_stored(index)) {
      continue;
    }
    const std::int64_t first = set.offset(index);
    const std::int64_t last = first + set.local_shape(index).num_elements();
    for (const ParameterStore::Piece& piece : store.pieces(first, last)) {
      CheckpointTensor tensor;
      tensor.path = group + "/" + set.tensor(index).name;
      tensor.shape = set.tensor(index).shape;
      tensor.part = set.part(index);
      tensor.local = piece.values;
      tensor.begin = piece.range.begin - first;
      tensor.end = piece.range.end - first;
      tensor.writes = false;
      kept.push_back(std::move(tensor));
    }
  }
  return kept;
}

void read_base(CheckpointReader& reader, BaseModel& model) {
  std::vector<CheckpointTensor> wanted;
  for (const auto& piece : model.pieces) {
    FS_CHECK(piece->rounded == nullptr, "a rounded base is read unit by unit");
    for (CheckpointTensor& tensor : kept_tensors("/model", piece->weights, piece->store)) {
      wanted.push_back(std::move(tensor));
    }
  }
  std::vector<HostCopy> copies;
  put_on_host(model.stream, HostCopy::For::kWriting, wanted, copies);
  reader.read(wanted);
  for (HostCopy& copy : copies) {
    copy.commit();
  }
}

}  // namespace finescale
