// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/roofline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/bench/roofline.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "core/parallel.h"
#include "kernels/cpu/isa.h"

HWY_BEFORE_NAMESPACE();
namespace finescale::bench::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int kChains = 10;  // latency 4 x 2 units, and some more

// `steps` times kChains vectors; returns something that depends on all of them. *flops: per call.
float fma_loop(std::int64_t steps, double* flops) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.999999F);
  const auto add = hn::Set(d, 1e-7F);
  auto a0 = hn::Iota(d, 0), a1 = hn::Iota(d, 1), a2 = hn::Iota(d, 2), a3 = hn::Iota(d, 3),
       a4 = hn::Iota(d, 4), a5 = hn::Iota(d, 5), a6 = hn::Iota(d, 6), a7 = hn::Iota(d, 7),
       a8 = hn::Iota(d, 8), a9 = hn::Iota(d, 9);
  for (std::int64_t i = 0; i < steps; ++i) {
    a0 = hn::MulAdd(a0, factor, add);
    a1 = hn::MulAdd(a1, factor, add);
    a2 = hn::MulAdd(a2, factor, add);
    a3 = hn::MulAdd(a3, factor, add);
    a4 = hn::MulAdd(a4, factor, add);
    a5 = hn::MulAdd(a5, factor, add);
    a6 = hn::MulAdd(a6, factor, add);
    a7 = hn::MulAdd(a7, factor, add);
    a8 = hn::MulAdd(a8, factor, add);
    a9 = hn::MulAdd(a9, factor, add);
  }
  *flops = 2.0 * static_cast<double>(steps) * kChains * static_cast<double>(hn::Lanes(d));
  const auto sum = hn::Add(
      hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(hn::Add(a4, a5), hn::Add(a6, a7))),
      hn::Add(a8, a9));
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

void update(float* a, const float* b, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto scale = hn::Set(d, 0.5F);
  std::int64_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    hn::StoreU(hn::MulAdd(scale, hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, a + i);
  }
  for (; i < end; ++i) {
    a[i] = b[i] + 0.5F * a[i];
  }
}

}  // namespace
}  // namespace finescale::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::bench {

HWY_EXPORT(fma_loop);
HWY_EXPORT(update);

namespace {

using Clock = std::chrono::steady_clock;

// Best of several: other programs only ever make it slower.
template <class Work>
double best_seconds(int times, const Work& work) {
  double best = 1e9;
  for (int i = 0; i < times; ++i) {
    const Clock::time_point begin = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return best;
}

double measure_bandwidth(std::size_t working_set) {
  const auto count = static_cast<std::int64_t>(working_set / (2 * sizeof(float)));
  std::vector<float> a(static_cast<std::size_t>(count), 1);
  std::vector<float> b = a;
  const auto once = [&] {
    parallel_for(count, 4096, [&](std::int64_t begin, std::int64_t end) {
      HWY_DYNAMIC_DISPATCH(update)(a.data(), b.data(), begin, end);
    });
  };
  const auto rounds = std::max<std::int64_t>(1, (std::int64_t{16} << 20) / (count + 1));
  const double seconds = best_seconds(7, [&] {
    for (std::int64_t i = 0; i < rounds; ++i) {
      once();
    }
  });
  return 3.0 * sizeof(float) * static_cast<double>(count * rounds) / seconds;
}

}  // namespace

double peak_flops() {
  static const double peak = [] {
    cpu::ensure_isa();
    const int threads = num_threads();
    std::vector<double> flops(static_cast<std::size_t>(threads) * 8);  // apart: no shared line
    std::vector<float> sink(flops.size());
    const double seconds = best_seconds(7, [&] {
      parallel_for(threads, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
          const auto slot = static_cast<std::size_t>(t) * 8;
          sink[slot] = HWY_DYNAMIC_DISPATCH(fma_loop)(2'000'000, &flops[slot]);
        }
      });
    });
    double total = sink[0] == 12345 ? 1 : 0;  // the result is used
    for (const double one : flops) {
      total += one;
    }
    return total / seconds;
  }();
  return peak;
}

double bandwidth(std::size_t working_set) {
  static std::map<std::size_t, double> measured;  // NOLINT: one thread asks
  cpu::ensure_isa();
  // Quarters of an octave: cache levels end where they end.
  const double octave = std::log2(std::clamp(static_cast<double>(working_set), 0x1p14, 0x1p28));
  const auto size = static_cast<std::size_t>(std::exp2(std::round(4 * octave) / 4));
  const auto [entry, is_new] = measured.emplace(size, 0.0);
  if (is_new) {
    entry->second = measure_bandwidth(size);
  }
  return entry->second;
}

}  // namespace finescale::bench
#endif
