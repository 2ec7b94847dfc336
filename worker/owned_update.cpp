// SPDX-License-Identifier: Apache-2.0
// OwnedParameters: the update, element by element, by rows or on whole tensors, and what follows
// it.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "core/tensor_element.h"
#include "kernels/bias.h"
#include "kernels/factors.h"
#include "kernels/reduce.h"
#include "sharding/ordered_reduce.h"
#include "worker/model/initialize.h"
#include "worker/optim/windowed_update.h"
#include "worker/owned_parameters.h"

namespace finescale {

UpdateRange OwnedParameters::range_of_part(std::size_t index, std::int64_t step) const {
  const Part& part = parts_[index];
  UpdateRange range;
  range.value = value(part.unit, part.range);
  range.gradient = gradient(part.unit, part.range);
  range.is_matrix = set_->tensor(part.tensor).shape.rank > 1;
  if (moments_->is_packed()) {
    range.packed = moments_->packed(index);
    range.rounding_key = moments_->rounding_key(index, step);
  } else {
    range.m = moments_->m(dense_index(part.unit, part.range), part.range.size());
    range.v = moments_->v(dense_index(part.unit, part.range), part.range.size());
  }
  return range;
}

void OwnedParameters::carry_out(const Stream& stream, std::span<const UpdateRange> ranges,
                                const UpdateStep& step) const {
  if (moments_->file() != nullptr || moments_->on_gpu() != stream.on_gpu()) {
    update_in_windows(moments_->file(), *rule_, stream, ranges, step);
  } else {
    rule_->update(stream, ranges, step);
  }
}

void OwnedParameters::update_by_row(const Stream& stream, const UpdateStep& step,
                                    const UpdateRange& range, const Part& part,
                                    const StepScale& scale) {
  const std::size_t bytes = range.value.size_bytes();
  if (before_.size_bytes() < bytes) {
    before_ = AlignedBuffer(bytes);
  }
  const TensorView before(before_.data(), range.value.dtype, range.value.shape);
  copy(stream, range.value, before);
  carry_out(stream, std::span(&range, 1), step);
  const TensorView factors(const_cast<double*>(scale.rows.data()), DType::kF64,
                           {std::ssize(scale.rows)});
  scale_row_steps(stream, before, range.value, factors,
                  part.range.begin - set_->offset(part.tensor), set_->local_shape(part.tensor)[1]);
}

// Ranges of other ranks of the shard axis and parts of the tensor axis are summands that are zero
// here.
void OwnedParameters::update_whole(const Stream& stream, const UpdateStep& step, int tensor,
                                   const StepScale& scale) {
  const LogicalTensor& logical = set_->tensor(tensor);
  const std::size_t bytes = static_cast<std::size_t>(logical.shape.num_elements()) * element_bytes_;
  if (whole_.size_bytes() < bytes) {
    whole_ = AlignedBuffer(bytes);
  }
  const TensorView whole(whole_.data(), set_->dtype(), logical.shape);
  fill_zero(stream, whole);
  const LocalPart& local = set_->part(tensor);
  // Calls move(elements of the range, the same of the whole) for runs of an owned range.
  const auto for_runs = [&](const Part& part, const auto& move) {
    const std::int64_t first = part.range.begin - set_->offset(tensor);
    const std::int64_t last = part.range.end - set_->offset(tensor);
    for_each_run(logical.shape, local, [&](auto at, auto begin, auto count) {
      const std::int64_t from = std::max(begin, first);
      const std::int64_t to = std::min(begin + count, last);
      if (from < to) {
        move(from - first, at + from - begin, to - from);
      }
    });
  };
  const auto address = [this](const TensorView& view, std::int64_t index) {
    return view.as<std::byte>() + static_cast<std::size_t>(index) * element_bytes_;
  };
  const auto for_own_parts = [&](const auto& visit) {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i].tensor == tensor) {
        UpdateRange range = range_of_part(i, step.step);
        range.rate = scale.rate;
        visit(parts_[i], range);
      }
    }
  };
  for_own_parts([&](const Part& part, const UpdateRange& range) {
    rule_->gather(stream, range, step);
    for_runs(part, [&](std::int64_t from, std::int64_t to, std::int64_t count) {
      if (part.is_counted) {
        std::memcpy(address(whole, to), address(range.gradient, from),
                    static_cast<std::size_t>(count) * element_bytes_);
      }
    });
  });
  const TensorView all(whole.data, whole.dtype, Shape{whole.num_elements()});
  for (Group* group : {&mesh_->shard(), &mesh_->tensor()}) {
    if (group->size() > 1 && (group != &mesh_->shard() || is_cut_)) {
      ordered_all_reduce(*group, all);
    }
  }
  std::vector<TensorView> state;
  for (const WholeState& kept : whole_states_) {
    if (kept.tensor == tensor) {
      state.push_back(kept.view);
    }
  }
  rule_->make_direction(stream, whole, state, step);
  for_own_parts([&](const Part& part, const UpdateRange& range) {
    for_runs(part, [&](std::int64_t to, std::int64_t from, std::int64_t count) {
      std::memcpy(address(range.gradient, to), address(whole, from),
                  static_cast<std::size_t>(count) * element_bytes_);
    });
    const std::int64_t first = part.range.begin - set_->offset(tensor);
    for (std::int64_t i = 0; !scale.rows.empty() && i < part.range.size(); ++i) {
      const std::int64_t row = (first + i) / set_->local_shape(tensor)[1];
      set_element(range.gradient, i,
                  element(range.gradient, i) * scale.rows[static_cast<std::size_t>(row)]);
    }
    rule_->apply(stream, range, step);
  });
}

void OwnedParameters::update(const Stream& stream, const UpdateStep& step,
                             const ScaleOf& scale_of) {
  if (any_whole_) {  // in one order on all ranks, whatever they own
    for (int tensor = 0; tensor < set_->size(); ++tensor) {
      const bool trains = std::any_of(trained_units_.begin(), trained_units_.end(),
                                      [&](int unit) { return unit == set_->unit_of(tensor); });
      if (trains && takes_whole(tensor)) {
        update_whole(stream, step, tensor, scale_of(tensor));
      }
    }
  }
  updates_.clear();
  bool is_one = true;  // every tensor's scale
  for (const Part& part : parts_) {
    is_one = is_one && scale_of(part.tensor).is_one();
  }
  if (is_one && !moments_->is_packed() && rule_->is_uniform() && !any_whole_) {
    for (std::size_t u = 0; u < units_.size(); ++u) {
      UpdateRange& range = updates_.emplace_back();
      range.value = value(static_cast<int>(u), units_[u].owned);
      range.gradient = gradient(static_cast<int>(u), units_[u].owned);
      range.m = moments_->m(offsets_[u], units_[u].owned.size());
      range.v = moments_->v(offsets_[u], units_[u].owned.size());
    }
  } else {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (takes_whole(parts_[i].tensor)) {
        continue;
      }
      const StepScale scale = scale_of(parts_[i].tensor);
      UpdateRange range = range_of_part(i, step.step);
      range.rate = scale.rate;
      if (scale.rows.empty()) {
        updates_.push_back(range);
      } else {
        update_by_row(stream, step, range, parts_[i], scale);
      }
    }
  }
  carry_out(stream, updates_, step);
}

void OwnedParameters::carry_over(Group& shard, const MovedFrom& from) {
  for (int tensor = 0; tensor < set_->size(); ++tensor) {
    const std::span<const std::int64_t> origins = from(tensor);
    for (std::size_t slot = 0; slot < rule_->slots().size(); ++slot) {
      carry_over_slot(shard, tensor, slot, origins);
    }
  }
}

void OwnedParameters::carry_over_slot(Group& shard, int tensor, std::size_t slot,
                                      std::span<const std::int64_t> origins) {
  std::vector<double> whole(origins.size());
  const auto for_each_owned = [&](const auto& visit) {
    for (const Part& part : parts_) {
      const TensorView state =
          part.tensor != tensor ? TensorView()
          : slot == 0           ? moments_->m(dense_index(part.unit, part.range), part.range.size())
                      : moments_->v(dense_index(part.unit, part.range), part.range.size());
      for (std::int64_t i = 0; !state.empty() && i < part.range.size(); ++i) {
        visit(state, i, static_cast<std::size_t>(part.range.begin - set_->offset(tensor) + i));
      }
    }
  };
  for_each_owned([&](const TensorView& state, std::int64_t i, std::size_t place) {
    whole[place] = element(state, i);
  });
  if (is_cut_ && shard.size() > 1) {  // one summand of each element is not zero
    ordered_all_reduce(shard, TensorView(whole.data(), DType::kF64, {std::ssize(whole)}));
  }
  for_each_owned([&](const TensorView& state, std::int64_t i, std::size_t place) {
    const std::int64_t origin = origins[place];
    set_element(state, i, origin < 0 ? 0 : whole[static_cast<std::size_t>(origin)]);
  });
}

void OwnedParameters::mix_into(const Stream& stream, void* mean, double part) const {
  for (std::size_t u = 0; u < units_.size(); ++u) {
    const TensorView to = dense(mean, set_->dtype(), static_cast<int>(u), units_[u].owned);
    affine_in_place(stream, 1 - part, 0, to);
    axpy(stream, part, value(static_cast<int>(u), units_[u].owned), to);
  }
}

}  // namespace finescale
