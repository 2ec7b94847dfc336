// SPDX-License-Identifier: Apache-2.0
#include "worker/owned_parameters.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/transfer.h"
#include "kernels/reduce.h"
#include "sharding/ordered_reduce.h"
#include "worker/model/leaf_memory.h"

namespace finescale {

namespace {

UnitRange intersection(const UnitRange& a, const UnitRange& b) {
  const std::int64_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

}  // namespace

OwnedParameters::OwnedParameters(Mesh& mesh, const ParameterSet& set, ParameterStore& store,
                                 const std::vector<TrainedUnit>& units, const config::Train& train,
                                 std::int64_t seed, bool is_cut, MomentPlace place,
                                 const Stream& stream)
    : set_(&set),
      store_(&store),
      stream_(stream),
      element_bytes_(dtype_size(set.dtype())),
      rule_(make_update_rule(train)),
      mesh_(&mesh),
      is_cut_(is_cut) {
  for (int tensor = 0; tensor < set.size(); ++tensor) {
    any_whole_ = any_whole_ || takes_whole(tensor);
  }
  std::int64_t num_elements = 0;
  for (const TrainedUnit& unit : units) {
    trained_units_.push_back(unit.unit);
    if (unit.owned.size() > 0) {
      units_.push_back(unit);
      offsets_.push_back(num_elements);
      num_elements += unit.owned.size();
    }
  }
  size_bytes_ = static_cast<std::size_t>(num_elements) * element_bytes_;
  list_parts();
  moments_ = std::make_unique<Moments>(train.optimizer_state(), rule_->slots(), set.dtype(), seed,
                                       moment_parts(), std::move(place));
  make_copies(mesh);
  make_whole_states();
}

void OwnedParameters::make_whole_states() {
  for (int tensor = 0; tensor < set_->size(); ++tensor) {
    const bool trains = std::find(trained_units_.begin(), trained_units_.end(),
                                  set_->unit_of(tensor)) != trained_units_.end();
    if (!trains || !takes_whole(tensor)) {
      continue;
    }
    for (UpdateRule::WholeSlot& slot : rule_->whole_slots(set_->tensor(tensor))) {
      AlignedBuffer memory(static_cast<std::size_t>(slot.shape.num_elements()) * element_bytes_);
      const TensorView view(memory.data(), set_->dtype(), slot.shape);
      whole_states_.push_back({tensor, std::move(slot.name), std::move(memory), view});
    }
  }
}

// All ranks of the replica and the tensor group hold the same: one of them writes.
void OwnedParameters::add_whole_states(const std::string& group, Extent extent,
                                       std::vector<CheckpointTensor>& tensors) const {
  if (extent == Extent::kShare && mesh_->replica().rank() + mesh_->tensor().rank() > 0) {
    return;
  }
  for (const WholeState& state : whole_states_) {
    CheckpointTensor tensor;
    tensor.path = group + "/" + state.name + "/" + set_->tensor(state.tensor).name;
    tensor.shape = state.view.shape;
    tensor.part = {Shape{0}, state.view.shape};
    tensor.local = state.view;
    tensor.begin = 0;
    tensor.end = state.view.num_elements();
    tensors.push_back(std::move(tensor));
  }
}

OwnedParameters::~OwnedParameters() = default;

std::size_t OwnedParameters::packed_bytes() const noexcept {
  std::size_t bytes = 0;
  for (const Copies& all : copies_) {
    bytes += all.packed.size_bytes();
  }
  return bytes;
}

void OwnedParameters::list_parts() {
  const int ranks = set_->tensor_size();
  for (std::size_t u = 0; u < units_.size(); ++u) {
    for (int index = 0; index < set_->size(); ++index) {
      if (set_->unit_of(index) != units_[u].unit) {
        continue;
      }
      const std::int64_t first = set_->offset(index);
      const UnitRange range =
          intersection({first, first + set_->local_shape(index).num_elements()}, units_[u].owned);
      if (range.size() > 0) {
        parts_.push_back({index, static_cast<int>(u), range,
                          is_first_copy(set_->tensor(index), set_->tensor_rank(), ranks),
                          copies(set_->tensor(index), ranks)});
      }
    }
  }
}

// Owned ranges begin at blocks of the grid, so a block is cut at tensors' ends only.
std::vector<MomentPart> OwnedParameters::moment_parts() const {
  std::vector<MomentPart> parts;
  for (const Part& part : parts_) {
    const int unit = units_[static_cast<std::size_t>(part.unit)].unit;
    const std::int64_t origin = set_->units()[static_cast<std::size_t>(unit)].begin;
    parts.push_back({.begin = dense_index(part.unit, part.range),
                     .size = part.range.size(),
                     .phase = (part.range.begin - origin) % kMomentBlock,
                     .tensor = set_->tensor(part.tensor).name,
                     .first_element = part.range.begin - set_->offset(part.tensor)});
  }
  return parts;
}

// Tensors that all ranks hold are summed over the tensor group, shared key/value heads over the
// neighbours that hold them; both in one message each.
void OwnedParameters::make_copies(Mesh& mesh) {
  const int ranks = set_->tensor_size();
  if (ranks == 1) {
    return;
  }
  int shared = ranks;  // ranks that hold one part of a shared head; the same for all such tensors
  for (int index = 0; index < set_->size(); ++index) {
    if (const int count = copies(set_->tensor(index), ranks); count > 1 && count < ranks) {
      shared = count;
    }
  }
  const auto collect = [&](int count) {
    Copies all;
    for (const Part& part : parts_) {
      if (part.copies == count) {
        all.parts.push_back(&part);
        all.num_elements += part.range.size();
      }
    }
    all.packed = AlignedBuffer(static_cast<std::size_t>(all.num_elements) * element_bytes_, stream_,
                               MemoryPurpose::kGradients);
    return all;
  };
  copies_.push_back(collect(ranks));
  copies_.back().group = &mesh.tensor();
  if (shared < ranks) {
    copies_.push_back(collect(shared));
    copies_.back().own_group =
        mesh.tensor().split(mesh.tensor().rank() / shared, mesh.tensor().rank(), "tensor copies");
    copies_.back().group = copies_.back().own_group.get();
  }
}

TensorView OwnedParameters::gradient(int unit, const UnitRange& range) const {
  const TrainedUnit& trained = units_[static_cast<std::size_t>(unit)];
  const TensorView all = trained.reducer->gradient(trained.reducer_unit);
  const std::int64_t at = range.begin - trained.owned.begin;
  return {all.as<std::byte>() + static_cast<std::size_t>(at) * element_bytes_, set_->dtype(),
          Shape{range.size()}};
}

TensorView OwnedParameters::value(int unit, const UnitRange& range) const {
  const TrainedUnit& trained = units_[static_cast<std::size_t>(unit)];
  const std::int64_t at = range.begin - trained.owned.begin;
  return {
      store_->owned(trained.unit).as<std::byte>() + static_cast<std::size_t>(at) * element_bytes_,
      set_->dtype(), Shape{range.size()}};
}

std::int64_t OwnedParameters::dense_index(int unit, const UnitRange& range) const {
  const auto u = static_cast<std::size_t>(unit);
  return offsets_[u] + range.begin - units_[u].owned.begin;
}

TensorView OwnedParameters::dense(void* block, DType dtype, int unit,
                                  const UnitRange& range) const {
  const auto at = static_cast<std::size_t>(dense_index(unit, range));
  return {static_cast<std::byte*>(block) + at * dtype_size(dtype), dtype, Shape{range.size()}};
}

void OwnedParameters::sum_over_copies() {
  for (Copies& all : copies_) {
    auto* packed = static_cast<std::byte*>(all.packed.data());
    for (const Part* part : all.parts) {
      const TensorView from = gradient(part->unit, part->range);
      copy_on_device(stream_, from.data, packed, from.size_bytes());
      packed += from.size_bytes();
    }
    if (all.num_elements == 0) {  // the same on all ranks of the group: they are cut alike
      continue;
    }
    ordered_all_reduce(*all.group,
                       TensorView(all.packed.data(), set_->dtype(), Shape{all.num_elements}),
                       leaf_memory(stream_));
    packed = static_cast<std::byte*>(all.packed.data());
    for (const Part* part : all.parts) {
      const TensorView to = gradient(part->unit, part->range);
      copy_on_device(stream_, packed, to.data, to.size_bytes());
      packed += to.size_bytes();
    }
  }
}

std::int64_t OwnedParameters::largest_range() const noexcept {
  std::int64_t largest = 0;
  for (const TrainedUnit& unit : units_) {
    largest = std::max(largest, unit.share.size());
  }
  return largest;
}

void OwnedParameters::add_squares(GradientNorm& norm) const {
  if (set_->tensor_size() == 1) {
    for (std::size_t u = 0; u < units_.size(); ++u) {
      norm.add(gradient(static_cast<int>(u), units_[u].share));
    }
    return;
  }
  // Blocks are counted from the unit's begin whatever the cut, so a tensor's end cuts a block in
  // two on every mesh alike.
  for (const Part& part : parts_) {
    const std::int64_t origin =
        set_->units()[static_cast<std::size_t>(units_[static_cast<std::size_t>(part.unit)].unit)]
            .begin;
    UnitRange left = intersection(part.range, units_[static_cast<std::size_t>(part.unit)].share);
    if (!part.is_counted || left.size() == 0) {
      continue;
    }
    const std::int64_t border =
        origin + (left.begin - origin + kNormBlock - 1) / kNormBlock * kNormBlock;
    if (border > left.begin) {
      const UnitRange head{left.begin, std::min(border, left.end)};
      norm.add(gradient(part.unit, head));
      left.begin = head.end;
    }
    if (left.size() > 0) {
      norm.add(gradient(part.unit, left));
    }
  }
}

void OwnedParameters::copy_values(void* to) const {
  for (std::size_t u = 0; u < units_.size(); ++u) {
    const TensorView from = value(static_cast<int>(u), units_[u].owned);
    copy_on_device(stream_, from.data,
                   dense(to, set_->dtype(), static_cast<int>(u), units_[u].owned).data,
                   from.size_bytes());
  }
}

void OwnedParameters::set_values(const void* from) {
  for (std::size_t u = 0; u < units_.size(); ++u) {
    const TensorView to = value(static_cast<int>(u), units_[u].owned);
    copy_on_device(
        stream_,
        dense(const_cast<void*>(from), set_->dtype(), static_cast<int>(u), units_[u].owned).data,
        to.data, to.size_bytes());
  }
}

std::vector<CheckpointTensor> OwnedParameters::tensors(const std::string& group, Extent extent,
                                                       const View& view) const {
  std::vector<CheckpointTensor> all;
  for (const Part& part : parts_) {
    const bool share = extent == Extent::kShare;
    const UnitRange range =
        share ? intersection(part.range, units_[static_cast<std::size_t>(part.unit)].share)
              : part.range;
    if (range.size() == 0 || (share && !part.is_counted)) {
      continue;
    }
    CheckpointTensor tensor;
    tensor.path = group + "/" + set_->tensor(part.tensor).name;
    tensor.shape = set_->tensor(part.tensor).shape;
    tensor.part = set_->part(part.tensor);
    tensor.local = view(part.unit, range);
    tensor.begin = range.begin - set_->offset(part.tensor);
    tensor.end = range.end - set_->offset(part.tensor);
    all.push_back(std::move(tensor));
  }
  return all;
}

std::vector<CheckpointTensor> OwnedParameters::value_tensors(const std::string& group,
                                                             Extent extent) const {
  return tensors(group, extent,
                 [this](int unit, const UnitRange& range) { return value(unit, range); });
}

std::vector<CheckpointTensor> OwnedParameters::gradient_tensors(const std::string& group,
                                                                Extent extent) const {
  return tensors(group, extent,
                 [this](int unit, const UnitRange& range) { return gradient(unit, range); });
}

std::vector<CheckpointTensor> OwnedParameters::tensors_in(const std::string& group, void* block,
                                                          Extent extent) const {
  return tensors(group, extent, [this, block](int unit, const UnitRange& range) {
    return dense(block, set_->dtype(), unit, range);
  });
}

std::vector<CheckpointTensor> OwnedParameters::moment_tensors(const std::string& group,
                                                              Extent extent, Moments::For purpose) {
  std::vector<CheckpointTensor> all;
  for (const Moments::Slot& slot : moments_->slots(purpose)) {
    for (CheckpointTensor& tensor :
         tensors(group + "/" + slot.name, extent, [&](int unit, const UnitRange&range) {
           return dense(slot.data, slot.dtype, unit, range);
         })) {
      tensor.file = slot.file;
      all.push_back(std::move(tensor));
    }
  }
  add_whole_states(group, extent, all);
  return all;
}

}  // namespace finescale
