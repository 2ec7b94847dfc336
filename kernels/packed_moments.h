// SPDX-License-Identifier: Apache-2.0
// AdamW with moments in two bytes or one, expanded and packed again block by block on the way: 20
// or 16 bytes per f32 parameter instead of 28.
//
// bf16: m to nearest. v changes by 1 - beta2 of itself, far below half a unit in the last place
// (0.2 to 0.4%), so to nearest it would never fall; it is rounded at random with the right mean,
// by numbers that depend on seed, step and element alone.
//
// int8: the largest magnitude of a block is its scale (Dettmers et al. 2022, 8-bit Optimizers via
// Block-wise Quantization), so the block's level is exact and decays exactly. What is left, in
// [0, 1], spans orders of magnitude, and a linear code loses the small ones; theirs has more digits
// near 1 by a table, ours has equally many everywhere, as FP8 has (Micikevicius et al. 2022), and
// needs no table: an f32 with 3 or 4 bits of fraction, exponents from 2^-16. m: a sign and 3 bits.
// v: its root, 4 bits, so that both moments span the same range; what is not zero never becomes
// zero, or a step would be divided by eps alone (the zero-point problem, Li et al. 2023). To
// nearest: at random, v would gather the noise of 1 / (1 - beta2) steps, 85% of itself at 0.999.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/tensor.h"
#include "kernels/adamw.h"

namespace finescale {

enum class MomentCode { kBf16, kInt8 };

inline constexpr std::int64_t kMomentBlock = 256;  // elements of one scale

// Both moments of a range of n elements. Finite values only.
struct PackedMoments {
  MomentCode code = MomentCode::kBf16;
  void* m = nullptr;  // [n] bf16 or one byte
  void* v = nullptr;
  float* m_scales = nullptr;  // int8: one for each block
  float* v_scales = nullptr;
  std::int64_t phase = 0;  // int8: elements of the first block that lie in front of the range
  std::int64_t first_element = 0;  // of the range in the tensor: its random numbers
  [[nodiscard]] std::int64_t num_blocks(std::int64_t count) const noexcept {
    return (phase + count + kMomentBlock - 1) / kMomentBlock;
  }
};

// adamw_update with such moments. The step is made with the new moments before they are packed.
void adamw_update_packed(const Stream& stream, const AdamwStep& step, const TensorView& weight,
                         const TensorView& gradient, const PackedMoments& moments);

// To and from f32 [n]; of int8, v is the root of the second moment. Packing what was expanded gives
// back every code and scale.
void expand_moments(const Stream& stream, const PackedMoments& moments, const TensorView& m,
                    const TensorView& v);
void pack_moments(const Stream& stream, const TensorView& m, const TensorView& v,
                  const PackedMoments& moments);

}  // namespace finescale
