// SPDX-License-Identifier: Apache-2.0
// Vector exp and small loops shared by the kernels of this folder. Included once per Highway
// target.
#if defined(FINESCALE_KERNELS_CPU_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FINESCALE_KERNELS_CPU_MATH_INL_H_
#undef FINESCALE_KERNELS_CPU_MATH_INL_H_
#else
#define FINESCALE_KERNELS_CPU_MATH_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// k + 127, where it is at least 0, in the lowest bits of k + kShift: 1.5 * 2^23 rounds what is
// added to it to whole numbers, 127 is the bias of an exponent.
constexpr float kShift = 12582912.0f + 127.0f;

// 2^k of a sum k + kShift, 0 for k = -127.
template <class D>
HWY_INLINE hn::Vec<D> power_of_two(D d, hn::Vec<D> shifted) {
  const hn::RebindToUnsigned<D> du;
  return hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(du, shifted)));
}

// exp(x) for f32, relative error below 1e-7: x = k ln 2 + r, |r| <= ln 2 / 2, degree-6 polynomial
// in r (minimax with p(0) = p'(0) = 1). Below -87.3 the result vanishes; above 88.3 it stays what
// it is there. Not a number stays that.
template <class D>
requires(sizeof(hn::TFromD<D>) == 4) HWY_INLINE hn::Vec<D> vector_exp(D d, hn::Vec<D> x) {
  const auto shift = hn::Set(d, kShift);
  const auto clamped = hn::Min(hn::Set(d, 88.37626f), hn::Max(hn::Set(d, -88.0f), x));
  const auto shifted = hn::MulAdd(clamped, hn::Set(d, 1.44269504088896341f), shift);
  const auto k = hn::Sub(shifted, shift);
  auto r = hn::NegMulAdd(k, hn::Set(d, 0.693359375f), clamped);
  r = hn::NegMulAdd(k, hn::Set(d, -2.12194440e-4f), r);
  auto p = hn::Set(d, 1.38146023e-3f);
  p = hn::MulAdd(p, r, hn::Set(d, 8.36871564e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.16683890e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.66665211e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.99999940e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  return hn::Mul(p, power_of_two(d, shifted));
}

template <class D>
requires(sizeof(hn::TFromD<D>) == 8) HWY_INLINE hn::Vec<D> vector_exp(D d, hn::Vec<D> x) {
  // Outside the clamps the library's Exp wraps around.
  const auto clamped = hn::Min(hn::Max(x, hn::Set(d, -708.0)), hn::Set(d, 709.0));
  const auto inside = hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -708.0)), hn::Exp(d, clamped));
  return hn::IfThenElse(hn::IsNaN(x), x, inside);
}

// 2^x for f32 and x up to 127, relative error below 2e-7: x = k + r, |r| <= 1/2, degree-5
// polynomial in r (minimax with p(0) = 1). Below -127 the result is 0; vectors that are not a
// number stay that.
template <class D>
requires(sizeof(hn::TFromD<D>) == 4) HWY_INLINE hn::Vec<D> vector_exp2(D d, hn::Vec<D> x) {
  const auto shift = hn::Set(d, kShift);
  const auto clamped = hn::Max(hn::Set(d, -127.0f), x);
  const auto shifted = hn::Add(clamped, shift);
  const auto r = hn::Sub(clamped, hn::Sub(shifted, shift));
  auto p = hn::Set(d, 1.3264727e-3f);
  p = hn::MulAdd(p, r, hn::Set(d, 9.671513e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.5507336e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 2.4022242e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 6.931470e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  return hn::Mul(p, power_of_two(d, shifted));
}

template <class D>
requires(sizeof(hn::TFromD<D>) == 8) HWY_INLINE hn::Vec<D> vector_exp2(D d, hn::Vec<D> x) {
  return vector_exp(d, hn::Mul(x, hn::Set(d, 0.69314718055994530942)));
}

// Lanes [0, count) of a row, the rest is `fill`; never reads behind the row.
template <class D, class T>
HWY_INLINE hn::Vec<D> load_some(D d, const T* from, std::size_t count, T fill) {
  if (HWY_LIKELY(count >= hn::Lanes(d))) {
    return hn::LoadU(d, from);
  }
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) {
    lanes[i] = i < count ? from[i] : fill;
  }
  return hn::Load(d, lanes);
}

template <class D, class T>
HWY_INLINE void store_some(D d, hn::Vec<D> value, T* to, std::size_t count) {
  if (HWY_LIKELY(count >= hn::Lanes(d))) {
    hn::StoreU(value, d, to);
    return;
  }
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(value, d, lanes);
  for (std::size_t i = 0; i < count; ++i) {
    to[i] = lanes[i];
  }
}

}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
