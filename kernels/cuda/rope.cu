// SPDX-License-Identifier: Apache-2.0
// One warp per token. Lanes stand at columns of a head and keep their cosines and sines while they
// go from head to head, so the tables are read once per token. Letters: T tokens, N heads, D head
// width, R rotated columns of a head, P positions.
#include "kernels/cuda/rope.h"

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kTokens = 4;  // of a block, a warp each

// cos, sin [P, R/2] with row stride table_stride.
template <class C>
struct Tables {
  const C* cos;
  const C* sin;
  std::int64_t stride;
  C sign;  // of the sine: -1 rotates back
};

// x [T, N*D] in place: (a, b) = (x[i], x[i + R/2]) -> (a cos - b sin, b cos + a sin).
template <class S, int kWidth>
__global__ void __launch_bounds__(kWarp* kTokens)
    rotate(S* __restrict__ x, std::int64_t x_stride, const std::int32_t* __restrict__ positions,
           Tables<Compute<S>> tables, std::int64_t tokens, int heads, int head_dim, int half) {
  using C = Compute<S>;
  const std::int64_t t = static_cast<std::int64_t>(blockIdx.x) * kTokens + threadIdx.y;
  if (t >= tokens) {
    return;
  }
  const int lane = static_cast<int>(threadIdx.x);
  const int packs = half / kWidth;
  const int across = packs < static_cast<int>(kWarp) ? packs : static_cast<int>(kWarp);
  const int heads_at_once = static_cast<int>(kWarp) / across;
  const int first_head = lane / across;
  if (first_head >= heads_at_once) {
    return;  // lanes that are left over
  }
  const std::int64_t at = positions[t] * tables.stride;
  for (int pack = lane % across; pack < packs; pack += across) {
    C cos[kWidth];
    C sin[kWidth];
    load_pack(tables.cos + at + pack * kWidth, cos);
    load_pack(tables.sin + at + pack * kWidth, sin);
    for (int head = first_head; head < heads; head += heads_at_once) {
      S* low = x + t * x_stride + static_cast<std::int64_t>(head) * head_dim + pack * kWidth;
      C a[kWidth];
      C b[kWidth];
      load_pack(low, a);
      load_pack(low + half, b);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const C s = tables.sign * sin[i];
        const C turned = fma(-b[i], s, a[i] * cos[i]);
        b[i] = fma(a[i], s, b[i] * cos[i]);
        a[i] = turned;
      }
      store_pack(a, low);
      store_pack(b, low + half);
    }
  }
}

}  // namespace

void rope_apply(const Stream& stream, const TensorView& x, std::int64_t head_dim,
                const TensorView& positions, const TensorView& cos, const TensorView& sin,
                bool inverse) {
  if (x.rows() == 0 || cos.cols() == 0) {
    return;
  }
  for_storage(x.dtype, "rope_apply", [&](auto tag) {
    using S = typename decltype(tag)::type;
    using C = Compute<S>;
    const std::int64_t half = cos.cols();
    // By the tables' type: wider packs would read it by half sectors.
    const bool packed =
        half % kPack<C> == 0 && head_dim % kPack<C> == 0 && lies_on(kPack<C>, x, cos, sin);
    for_width<kPack<C>>(packed, [&](auto width) {
      gpu_launch(stream, rotate<S, decltype(width)::value>, dim3(blocks_for(x.rows(), kTokens)),
                 dim3(kWarp, kTokens), 0, x.as<S>(), x.row_stride, positions.as<std::int32_t>(),
                 Tables<C>{cos.as<C>(), sin.as<C>(), cos.row_stride, inverse ? C(-1) : C(1)},
                 x.rows(), static_cast<int>(x.cols() / head_dim), static_cast<int>(head_dim),
                 static_cast<int>(half));
    });
  });
}

}  // namespace finescale::cuda
