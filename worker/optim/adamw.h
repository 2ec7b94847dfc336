// SPDX-License-Identifier: Apache-2.0
// AdamW over the ranges of parameters that a rank updates. Element by element, so no bit depends on
// the cut.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "configs/schema/train.pb.h"
#include "core/device.h"
#include "core/tensor.h"
#include "kernels/packed_moments.h"

namespace finescale {

// Flat views of equal length.
struct UpdateRange {
  TensorView value;
  TensorView gradient;
  TensorView m;  // f32 or f64, as the value
  TensorView v;
  bool is_matrix = true;                     // weight decay may leave norms alone
  std::optional<PackedMoments> packed = {};  // instead of m and v
};

class AdamW {
 public:
  explicit AdamW(const config::Train& train);
  // norm: of the whole gradient, over all ranks; clips. step: from 1.
  void update(const Stream& stream, std::span<const UpdateRange> ranges, std::int64_t step,
              double learning_rate, double norm) const;
  // Whether matrices and vectors are treated alike, so that neighbours may be one range.
  [[nodiscard]] bool is_uniform() const noexcept { return weight_decay_ == 0 || decay_all_; }

 private:
  double beta1_;
  double beta2_;
  double eps_;
  double weight_decay_;
  double clip_norm_;
  bool decay_all_;
};

}  // namespace finescale
