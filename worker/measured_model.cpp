// SPDX-License-Identifier: Apache-2.0
#include "worker/measured_model.h"

#include <utility>

#include "core/transfer.h"

namespace finescale {

namespace {

UnitHooks hooks_of(BasePiece& piece) {
  const int last = piece.plan.num_units() - 1;
  UnitHooks hooks;
  hooks.enter = [&piece, last](int unit, bool /*backward*/) {
    piece.store.acquire(unit, unit < last ? unit + 1 : -1);
  };
  hooks.leave = [&piece](int unit, bool /*backward*/) { piece.store.release(unit); };
  hooks.gathers = piece.store.gathers();
  return hooks;
}

AlignedBuffer moved_to(const Stream& stream, Method& method) {
  const TensorView host = method.trainable().flat();
  AlignedBuffer memory(host.size_bytes(), stream);
  copy_to_device(stream, host.data, memory.data(), host.size_bytes());
  UnitBlocks blocks;
  method.trainable().split(TensorView(memory.data(), host.dtype, host.shape), blocks);
  method.bind_values(blocks);
  return memory;
}

}  // namespace

MeasuredModel::MeasuredModel(const Engine& engine, AdaptedModel model) : model_(std::move(model)) {
  std::vector<EvalPiece> pieces;
  for (std::size_t i = 0; i < model_.base->pieces.size(); ++i) {
    BasePiece& piece = *model_.base->pieces[i];
    TransformerOptions options;
    options.stream = engine.stream;
    options.quantised = piece.quantised.get();
    options.tensor = engine.mesh->shape().tensor > 1 ? &engine.mesh->tensor() : nullptr;
    options.hooks = hooks_of(piece);
    options.rounded = piece.rounded.get();
    transformers_.push_back(
        std::make_unique<Transformer>(piece.layout, piece.weights, piece.store.blocks(), options));
    if (!model_.adapters.empty()) {
      if (engine.stream.on_gpu()) {
        adapter_memory_.push_back(moved_to(engine.stream, *model_.adapters[i]));
      }
      transformers_.back()->set_adapters(model_.adapters[i]->adapters());
    }
    const UnitEvents events = unit_events(piece.layout, Trains::kNothing);
    pieces.push_back({transformers_.back().get(), [events, hooks = options.hooks] {
                        for (const UnitEvent& event : events.forward) {
                          event.enters ? hooks.enter(event.unit, false)
                                       : hooks.leave(event.unit, false);
                        }
                      }});
  }
  eval_ = std::make_unique<EvalModel>(engine, std::move(pieces));
}

}  // namespace finescale
