// SPDX-License-Identifier: Apache-2.0
#include "worker/trainable.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/transfer.h"
#include "kernels/embedding.h"
#include "kernels/reduce.h"
#include "sharding/reducer_memory.h"
#include "worker/model/leaf_memory.h"
#include "worker/precision.h"

namespace finescale {

Trainable::Trainable(const Engine& engine, BasePiece& base, const config::Train& train,
                     std::int64_t seed, std::int64_t max_micro_batches)
    : mesh_(engine.mesh),
      stream_(engine.stream),
      base_(&base),
      max_micro_batches_(max_micro_batches),
      method_(
          make_method(train.method(),
                      {.layout = &base.layout, .base = base_weights(engine, base), .seed = seed})),
      events_(training_events()),
      eval_events_(unit_events(base.layout, Trains::kNothing)) {
  if (train.method().full().has_last_layers() && engine.zero_stage >= 2) {
    // Its places follow passes through all layers.
    throw Error(ErrorKind::kConfig, "last_layers does not go with ZeRO-2 and 3 in this version",
                "train.method.full.last_layers", "use mesh.zero: 1");
  }
  make_plans();
  const ParameterSet& set = method_->trainable();
  // Adapters are small: every rank keeps them whole, only their gradients and moments are cut.
  // Where units of the base are gathered in every round, the sums must be made in rounds too: a
  // rank that waits for others in one would keep them waiting in the other.
  stage_ = method_->trains_base()   ? engine.zero_stage
           : engine.zero_stage == 3 ? 2
                                    : std::min(engine.zero_stage, 1);
  if (method_->trains_base()) {
    store_ = &base.store;
  } else {
    make_adapter_store(engine);
  }
  method_->bind_values(store_->blocks());
  method_->values_changed();
  const ReducerOptions options{.zero_stage = stage_,
                               .overlap = engine.reductions != nullptr,
                               .memory = leaf_memory(stream_)};
  reducer_ = std::make_unique<GradientReducer>(*mesh_, *plan_, set.dtype(), max_micro_batches,
                                               options, engine.reductions);
  if (head_plan_ != nullptr) {
    head_reducer_ = std::make_unique<GradientReducer>(
        *mesh_, *head_plan_, set.dtype(), max_micro_batches, options, engine.reductions);
  }
  make_model(engine);
  owned_ = std::make_unique<OwnedParameters>(
      *mesh_, set, *store_, trained_units(), train, seed, stage_ > 0,
      MomentPlace{engine.host_moments ? Stream() : stream_, engine.scratch}, stream_);
}

// Methods make their values on the host. On the CPU the store uses their memory, a GPU's has a
// copy.
void Trainable::make_adapter_store(const Engine& engine) {
  ParameterSet& set = method_->trainable();
  const bool on_gpu = stream_.on_gpu();
  adapter_store_ =
      std::make_unique<ParameterStore>(*mesh_, *plan_, set.dtype(), stage_, engine.reductions,
                                       on_gpu ? TensorView() : set.flat(), stream_);
  store_ = adapter_store_.get();
  if (on_gpu) {
    UnitBlocks values;
    set.split(set.flat(), values);
    for (std::size_t unit = 0; unit < values.size(); ++unit) {
      copy_to_device(stream_, values[unit].data, store_->blocks()[unit].data,
                     values[unit].size_bytes());
    }
    set.release();
  }
}

void Trainable::publish() {
  store_->publish();
  method_->values_changed();
}

void Trainable::choose_anew(std::int64_t step) {
  if (method_->choose_anew(step)) {
    owned_->carry_over(mesh_->shard(), [this](int tensor) { return method_->moved_from(tensor); });
  }
}

void Trainable::update(const Stream& stream, const UpdateStep& step) {
  owned_->update(stream, step, [this](int tensor) { return method_->step_scale(tensor); });
}

UnitEvents Trainable::training_events() const {
  const ModelLayout& layout = base_->layout;
  if (!method_->trains_base()) {
    if (method_->changes_base()) {
      return unit_events(layout, backward_units());
    }
    // Something of the method in front of the layers: then gradients go on to there.
    const bool trains_front =
        layout.part().has_embedding && method_->trainable().units().front().size() > 0;
    const bool has_rows = method_->adapters().virtual_tokens.go_through;
    return trains_front
               ? unit_events(layout, BackwardUnits{.positions = has_rows && layout.has_positions(),
                                                   .embedding = true})
               : unit_events(layout, Trains::kAdapters);
  }
  int first = 0;  // layer that trains
  while (first < layout.num_layers() && !method_->trains_unit(layout.layer_unit(first))) {
    ++first;
  }
  const bool all = first == 0 && trains_unit(0) && trains_unit(base_->plan.num_units() - 1);
  if (all) {
    return unit_events(layout, Trains::kBase);
  }
  // The gradient of what another piece sent goes back to it.
  return unit_events(layout, Trains::kUpper, layout.part().has_embedding ? first : 0);
}

// Of a method that trains single tensors. Gradients of what another piece sent go back to it.
BackwardUnits Trainable::backward_units() const {
  const ModelLayout& layout = base_->layout;
  std::vector<bool> trains(static_cast<std::size_t>(base_->plan.num_units()));
  for (int tensor = 0; tensor < base_->weights.size(); ++tensor) {
    if (method_->trains_tensor(tensor)) {
      trains[static_cast<std::size_t>(base_->weights.unit_of(tensor))] = true;
    }
  }
  BackwardUnits units;
  units.embedding = layout.part().has_embedding && trains.front();
  units.positions = layout.has_positions() &&
                    (units.embedding || trains[static_cast<std::size_t>(layout.positions_unit())]);
  units.head =
      layout.part().has_head &&
      (method_->trains_tensor(layout.head().first) ||
       (layout.head().bias_first >= 0 && method_->trains_tensor(layout.head().bias_first)));
  const bool all = !layout.part().has_embedding || units.embedding || units.positions;
  while (!all && units.first_layer < layout.num_layers() &&
         !trains[static_cast<std::size_t>(layout.layer_unit(units.first_layer))]) {
    ++units.first_layer;
  }
  return units;
}

void Trainable::make_plans() {
  const ModelLayout& layout = base_->layout;
  const int ranks = mesh_->replica().size();
  std::vector<UnitRange> units = method_->trainable().units();
  if (layout.head_is_copy() && trains_unit(static_cast<int>(units.size()) - 1)) {
    head_plan_ = std::make_unique<ShardPlan>(std::vector<UnitRange>{units.back()}, ranks);
    units.back().end = units.back().begin;
  }
  if (is_lent(0)) {
    units.front().begin = units.front().end;
  }
  for (std::size_t unit = 0; method_->trains_base() && unit < units.size(); ++unit) {
    if (!trains_unit(static_cast<int>(unit))) {
      units[unit].begin = units[unit].end;
    }
  }
  plan_ = std::make_unique<ShardPlan>(std::move(units), ranks,
                                      PassingUnits{layout.layer_unit(0), layout.num_layers()});
}

void Trainable::make_model(const Engine& engine) {
  TransformerOptions options;
  options.tensor = mesh_->shape().tensor > 1 ? &mesh_->tensor() : nullptr;
  options.recompute = engine.recompute;
  options.stream = engine.stream;
  options.quantised = base_->quantised.get();
  options.rounded = base_->rounded.get();
  if (keeps_rounded(engine) && options.rounded == nullptr) {
    rounded_ = std::make_unique<RoundedWeights>(
        base_->layout, base_->weights,
        [this](int tensor) { return !method_->trains_tensor(tensor); }, stream_);
    for (int unit = 0; unit < base_->plan.num_units(); ++unit) {
      rounded_->round(stream_, unit, base_->store.blocks());
    }
    options.rounded = rounded_.get();
  }
  options.hooks.enter = [this](int unit, bool backward) { enter(unit, backward); };
  options.hooks.leave = [this](int unit, bool backward) { leave(unit, backward); };
  options.hooks.gathers = base_->store.gathers();
  model_ = std::make_unique<Transformer>(base_->layout, base_->weights, base_->store.blocks(),
                                         std::move(options));
  model_->set_trains([this](int tensor) { return method_->trains_tensor(tensor); });
  if (!method_->trains_base()) {
    model_->set_adapters(method_->adapters());
  }
}

bool Trainable::is_lent(int unit) const noexcept {
  const ModelPart& part = base_->layout.part();
  return unit == 0 && part.has_embedding && !part.has_head && trains_unit(0) &&
         base_->layout.shape().tied;
}

std::vector<TrainedUnit> Trainable::trained_units() const {
  std::vector<TrainedUnit> units;
  const int replica = mesh_->replica().rank();
  for (int unit = 0; unit < plan_->num_units(); ++unit) {
    if (is_lent(unit) || (method_->trains_base() && !trains_unit(unit))) {
      continue;
    }
    const bool copy = is_head_copy(unit);
    units.push_back({.unit = unit,
                     .owned = store_->owned_range(unit),
                     .share = copy ? head_plan_->slice(0, replica) : plan_->slice(unit, replica),
                     .reducer = copy ? head_reducer_.get() : reducer_.get(),
                     .reducer_unit = copy ? 0 : unit});
  }
  return units;
}

void Trainable::enter(int unit, bool backward) {
  const int last = base_->plan.num_units() - 1;
  base_->store.acquire(unit, backward ? unit - 1 : unit < last ? unit + 1 : -1);
  if (backward && !is_idle_ && !is_lent(unit) && !is_head_copy(unit)) {
    reducer_->open_unit(unit);
  }
}

void Trainable::leave(int unit, bool backward) {
  if (backward && !is_lent(unit) && !is_head_copy(unit)) {
    reducer_->close_unit(unit);
  }
  base_->store.release(unit);
}

std::span<const std::int64_t> Trainable::begin_step(std::int64_t num_micro_batches) {
  if (head_reducer_ != nullptr) {
    (void)head_reducer_->begin(num_micro_batches);
  }
  return reducer_->begin(num_micro_batches);
}

// The reducer sums units in descending order: it must not wait for one that is summed elsewhere, or
// does not train.
void Trainable::close_head_copy() {
  if (base_->layout.head_is_copy()) {
    reducer_->close_unit(plan_->num_units() - 1);
  }
}

void Trainable::open() {
  const UnitBlocks* blocks = &reducer_->open_micro_batch();
  close_head_copy();
  if (has_head_copy()) {
    const TensorView head = blocks_.back();  // as begin_head chose it
    blocks_.assign(blocks->begin(), blocks->end());
    blocks_.back() = head;
    blocks = &blocks_;
  }
  const UnitBlocks& of_base = method_->bind_gradient(*blocks);
  if (method_->gradients() != nullptr) {
    model_->bind_gradients(*method_->gradients());
  } else {
    model_->bind_gradient(of_base);
  }
}

void Trainable::close() {
  if (has_head_copy()) {
    base_->store.release(base_->plan.num_units() -
                         1);  // the tape leaves it to whoever has the rows
  }
  reducer_->close_micro_batch();
}

void Trainable::follow(const std::vector<UnitEvent>& events) {
  is_idle_ = true;
  for (const UnitEvent& event : events) {
    event.enters ? enter(event.unit, event.backward) : leave(event.unit, event.backward);
  }
  is_idle_ = false;
}

void Trainable::idle_forward() {
  follow(events_.forward);
}

void Trainable::idle_backward() {
  close_head_copy();
  follow(events_.backward);
  if (has_head_copy()) {
    base_->store.release(base_->plan.num_units() - 1);
  }
  reducer_->idle_round();
}

void Trainable::finish_step() {
  reducer_->finish();
  if (head_reducer_ != nullptr) {
    head_reducer_->finish();
  }
}

void Trainable::make_head_buffers(int count) {
  const std::size_t bytes =
      static_cast<std::size_t>(head_plan_->num_elements()) * dtype_size(base_->weights.dtype());
  while (std::ssize(head_buffers_) < count) {
    head_buffers_.emplace_back(bytes, stream_, MemoryPurpose::kGradients);
  }
}

TensorView Trainable::head_buffer(std::int64_t micro_batch) const {
  const AlignedBuffer& buffer =
      head_buffers_[static_cast<std::size_t>(micro_batch % std::ssize(head_buffers_))];
  return {buffer.data(), base_->weights.dtype(),
          base_->weights.local_shape(base_->layout.head().first)};
}

void Trainable::begin_head(std::int64_t micro_batch) {
  const TensorView table = head_buffer(micro_batch);
  fill_zero(stream_, table);
  blocks_.resize(static_cast<std::size_t>(plan_->num_units()));
  blocks_.back() = TensorView(table.data, table.dtype, Shape{table.num_elements()});
}

void Trainable::finish_head(std::int64_t micro_batch, const Tape::EmbeddingRows& rows) {
  const TensorView table = head_buffer(micro_batch);
  add_rows(stream_, rows.ids, rows.rows, table);
  const UnitBlocks& blocks = head_reducer_->open_micro_batch();
  head_reducer_->open_unit(0);
  copy(stream_, TensorView(table.data, table.dtype, Shape{table.num_elements()}), blocks.front());
  head_reducer_->close_unit(0);
  head_reducer_->close_micro_batch();
}

void Trainable::add_memory(MemoryUse& use) const {
  const auto bytes = [](std::size_t size) { return static_cast<std::int64_t>(size); };
  add_values(*base_, use);
  use.weights += rounded_ == nullptr ? 0 : bytes(rounded_->size_bytes());
  use.weights += method_->trains_base() ? 0 : bytes(method_->trainable().flat().size_bytes());
  if (const ParameterSet* constants = method_->constants(); constants != nullptr) {
    use.weights += bytes(constants->flat().size_bytes());
  }
  use.weights += bytes(method_->seeded_bytes());
  use.gradients += bytes(method_->measured_bytes());
  use.optimizer += bytes(owned_->moment_bytes());
  use.communication += bytes(owned_->packed_bytes());
  const auto add_reducer = [&](const GradientReducer& reducer, const ShardPlan& plan) {
    const std::int64_t staging = reducer_memory(plan, stage_, mesh_->shape().data,
                                                mesh_->replica().rank(), max_micro_batches_)
                                     .staging *
                                 bytes(dtype_size(base_->weights.dtype()));
    use.communication += staging;
    use.gradients += bytes(reducer.memory_bytes()) - staging;
  };
  add_reducer(*reducer_, *plan_);
  if (head_reducer_ != nullptr) {
    add_reducer(*head_reducer_, *head_plan_);
  }
  for (const AlignedBuffer& buffer : head_buffers_) {
    use.gradients += bytes(buffer.size_bytes());
  }
}

void add_values(const BasePiece& piece, MemoryUse& use) {
  const std::size_t gather = piece.store.gather_bytes();
  std::size_t weights = piece.store.memory_bytes() - gather + piece.values.size_bytes();
  if (piece.rounded != nullptr) {
    weights = weights - piece.rounded->replaced_bytes() + piece.rounded->size_bytes();
  }
  weights += piece.quantised == nullptr ? 0 : piece.quantised->memory_bytes();
  use.gather += static_cast<std::int64_t>(gather);
  use.weights += static_cast<std::int64_t>(weights);
}

TensorView Trainable::common_table() {
  return base_->store.owned(lends_embedding() ? 0 : base_->plan.num_units() - 1);
}

}  // namespace finescale
