// SPDX-License-Identifier: Apache-2.0
// AdamW with moments in bf16 and in one byte.
#include "kernels/packed_moments.h"

#include <bit>
#include <cstring>

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

// Both moments of `count` elements, and what an update needs beside them.
struct Packed {
  Packed(MomentCode form, std::int64_t count, std::int64_t in_front = 0)
      : code(form), phase(in_front) {
    const auto n = static_cast<std::size_t>(count);
    m.resize(form == MomentCode::kInt8 ? n : 2 * n);
    v = m;
    m_scales.resize(static_cast<std::size_t>(view().num_blocks(count)));
    v_scales = m_scales;
  }
  [[nodiscard]] PackedMoments view(std::int64_t begin = 0) {
    const std::int64_t bytes = code == MomentCode::kInt8 ? 1 : 2;
    const std::int64_t block = (phase + begin) / kMomentBlock;
    return {.code = code,
            .m = m.data() + begin * bytes,
            .v = v.data() + begin * bytes,
            .m_scales = m_scales.data() + block,
            .v_scales = v_scales.data() + block,
            .phase = (phase + begin) % kMomentBlock,
            .first_element = begin};
  }
  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::byte> all(m);
    all.insert(all.end(), v.begin(), v.end());
    for (const auto* scales : {&m_scales, &v_scales}) {
      const auto* begin = reinterpret_cast<const std::byte*>(scales->data());
      all.insert(all.end(), begin, begin + scales->size() * sizeof(float));
    }
    return all;
  }
  MomentCode code;
  std::int64_t phase;
  std::vector<std::byte> m, v;
  std::vector<float> m_scales, v_scales;
};

TensorView part(Tensor& tensor, std::int64_t begin, std::int64_t end) {
  TensorView view = tensor.view();
  view.data =
      static_cast<std::byte*>(view.data) + static_cast<std::size_t>(begin) * dtype_size(view.dtype);
  view.shape = Shape{end - begin};
  return view;
}

constexpr AdamwStep kStep{.learning_rate = 0.01,
                          .beta1 = 0.9,
                          .beta2 = 0.95,
                          .weight_decay = 0.1,
                          .step = 3,
                          .rounding_key = 7};

struct State {
  Tensor w, g;
  Packed moments;
};

// Moments after some steps with gradients of very different sizes.
State trained(DType dtype, MomentCode code, std::int64_t count, std::int64_t phase) {
  State state{Tensor(dtype, 0, count), Tensor(dtype, 0, count), Packed(code, count, phase)};
  state.w.random(1);
  for (int step = 1; step <= 3; ++step) {
    state.g.random(static_cast<std::uint64_t>(10 + step));
    for (std::int64_t i = 0; i < count; ++i) {
      state.g.set(0, i, state.g.at(i) * std::pow(10.0, -static_cast<double>(i % 6)));
    }
    AdamwStep settings = kStep;
    settings.step = step;
    adamw_update_packed(Stream(), settings, state.w.view(), state.g.view(), state.moments.view());
  }
  return state;
}

using PackedAdamw = Kernel;

// The weights move by the formula on what was expanded; the new moments are the formula's to half
// a unit of their code (bf16's v to one).
TEST_P(PackedAdamw, IsTheFormulaOnWhatWasKept) {
  for (const MomentCode code : {MomentCode::kBf16, MomentCode::kInt8}) {
    const bool bytes = code == MomentCode::kInt8;
    for (const auto& [count, phase] : {std::pair{1, 0}, {75, 250}, {1000, 3}, {20011, 255}}) {
      State state = trained(dtype(), code, count, phase);
      Tensor m(DType::kF32, 0, count);
      Tensor v(DType::kF32, 0, count);
      expand_moments(stream_, state.moments.view(), m.view(), v.view());
      const Tensor before = state.w;
      adamw_update_packed(stream_, kStep, state.w.view(), state.g.view(), state.moments.view());
      Tensor new_m(DType::kF32, 0, count);
      Tensor new_v(DType::kF32, 0, count);
      expand_moments(stream_, state.moments.view(), new_m.view(), new_v.view());
      const auto moment = [&](std::int64_t i) { return 0.9 * m.at(i) + 0.1 * state.g.at(i); };
      const auto square = [&](std::int64_t i) {
        const double kept = bytes ? v.at(i) * v.at(i) : v.at(i);
        return 0.95 * kept + 0.05 * state.g.at(i) * state.g.at(i);
      };
      EXPECT_LT(error_of(state.w,
                         [&](auto, auto i) {
                           const double m_hat = moment(i) / (1 - std::pow(0.9, 3));
                           const double v_hat = square(i) / (1 - std::pow(0.95, 3));
                           return before.at(i) * (1 - 0.01 * 0.1) -
                                  0.01 * m_hat / (std::sqrt(v_hat) + 1e-8);
                         }),
                tolerance(dtype()));
      double m_error = 0;
      double v_error = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        const auto scale = static_cast<std::size_t>((i + phase) / kMomentBlock);
        // Below the least code: half of it (m, 1.25 x 2^-16) or all of it (v, 1.125 x 2^-16).
        const double floor = bytes ? 10 * 0x1p-16 * state.moments.m_scales[scale] : 0;
        const double root_floor = bytes ? 36 * 0x1p-16 * state.moments.v_scales[scale] : 0;
        const double want_v = bytes ? std::sqrt(square(i)) : square(i);
        m_error = std::max(
            m_error, std::abs(new_m.at(i) - moment(i)) / std::max(std::abs(moment(i)), floor));
        v_error = std::max(v_error, std::abs(new_v.at(i) - want_v) / std::max(want_v, root_floor));
      }
      EXPECT_LE(m_error, bytes ? 0x1p-4 * 1.001 : 0x1p-8 * 1.001);
      EXPECT_LE(v_error, bytes ? 0x1p-5 * 1.001 : 0x1p-7 * 1.001);
    }
  }
}

TEST_P(PackedAdamw, PackingWhatWasExpandedIsExact) {
  // Every code beside the largest, with scales of every size.
  for (const float scale : {0x1p-100F, 0x1.fffffep-99F, 3.1e-9F, 0.7F, 1.0F, 12345.678F, 1e30F}) {
    Packed all(MomentCode::kInt8, kMomentBlock);
    for (int i = 0; i < kMomentBlock; ++i) {
      const int m = i == 0x80 ? 0 : i;  // minus zero is not kept
      all.m[static_cast<std::size_t>(i)] = static_cast<std::byte>(m);
      all.v[static_cast<std::size_t>(i)] = static_cast<std::byte>(i);
    }
    all.m_scales[0] = scale;
    all.v_scales[0] = scale;
    Tensor m(DType::kF32, 0, kMomentBlock);
    Tensor v(DType::kF32, 0, kMomentBlock);
    expand_moments(stream_, all.view(), m.view(), v.view());
    Packed again(MomentCode::kInt8, kMomentBlock);
    pack_moments(stream_, m.view(), v.view(), again.view());
    EXPECT_TRUE(again.bytes() == all.bytes()) << scale;
  }
  for (const MomentCode code : {MomentCode::kBf16, MomentCode::kInt8}) {
    State state = trained(dtype(), code, 5003, 77);
    Tensor m(DType::kF32, 0, 5003);
    Tensor v(DType::kF32, 0, 5003);
    expand_moments(stream_, state.moments.view(), m.view(), v.view());
    Packed again(code, 5003, 77);
    pack_moments(stream_, m.view(), v.view(), again.view());
    EXPECT_TRUE(again.bytes() == state.moments.bytes());
  }
}

TEST_P(PackedAdamw, NoBitDependsOnThreadsOrCuts) {
  for (const MomentCode code : {MomentCode::kBf16, MomentCode::kInt8}) {
    expect_threads_change_nothing([&] {
      State state = trained(dtype(), code, 100003, 13);
      std::vector<std::byte> all = state.moments.bytes();
      const std::vector<std::byte> w = state.w.bytes();
      all.insert(all.end(), w.begin(), w.end());
      return all;
    });
    State whole = trained(dtype(), code, 5003, 13);
    State cut = trained(dtype(), code, 5003, 13);
    adamw_update_packed(stream_, kStep, whole.w.view(), whole.g.view(), whole.moments.view());
    std::int64_t begin = 0;
    for (const std::int64_t end : {256 - 13, 5 * 256 - 13, 6 * 256 - 13, 5003}) {
      adamw_update_packed(stream_, kStep, part(cut.w, begin, end), part(cut.g, begin, end),
                          cut.moments.view(begin));
      begin = end;
    }
    EXPECT_TRUE(cut.moments.bytes() == whole.moments.bytes());
    EXPECT_TRUE(cut.w.bytes() == whole.w.bytes());
  }
}

TEST_P(PackedAdamw, NothingSmallBecomesZeroAndNothingZeroMoves) {
  Packed moments(MomentCode::kInt8, 3);
  Tensor m(DType::kF32, 0, 3);
  Tensor v(DType::kF32, 0, 3);
  v.set(0, 0, 1);
  v.set(0, 1, 1e-20);
  pack_moments(stream_, m.view(), v.view(), moments.view());
  expand_moments(stream_, moments.view(), m.view(), v.view());
  EXPECT_EQ(v.at(0), 1);
  EXPECT_GT(v.at(1), 0);
  EXPECT_EQ(v.at(2), 0);
  v.set(0, 0, 1e-31);  // flushed as a whole
  v.set(0, 1, 1e-33);
  pack_moments(stream_, m.view(), v.view(), moments.view());
  expand_moments(stream_, moments.view(), m.view(), v.view());
  EXPECT_EQ(v.at(0) + v.at(1) + v.at(2), 0);
}

// 1 - beta2 is below half a unit of bf16: to nearest, v would stay where it is.
TEST_P(PackedAdamw, SecondMomentInBf16FallsAsItShould) {
  constexpr std::int64_t kCount = 4096;
  Tensor w(dtype(), 0, kCount);
  Tensor g(dtype(), 0, kCount);
  Tensor m(DType::kF32, 0, kCount);
  Tensor v(DType::kF32, 0, kCount);
  for (std::int64_t i = 0; i < kCount; ++i) {
    v.set(0, i, 1);
  }
  Packed moments(MomentCode::kBf16, kCount);
  pack_moments(stream_, m.view(), v.view(), moments.view());
  for (int step = 1; step <= 1000; ++step) {
    const AdamwStep settings{
        .learning_rate = 0.01,
        .step = step,
        .rounding_key = philox(1, Purpose::kRounding, static_cast<std::uint64_t>(step), 0)[0]};
    adamw_update_packed(stream_, settings, w.view(), g.view(), moments.view());
  }
  expand_moments(stream_, moments.view(), m.view(), v.view());
  double mean = 0;
  for (std::int64_t i = 0; i < kCount; ++i) {
    mean += v.at(i) / kCount;
  }
  // One element's deviation is about 5%.
  EXPECT_NEAR(mean, std::pow(0.999, 1000), 0.005 * std::pow(0.999, 1000));
}

FINESCALE_FOR_ALL_TARGETS(PackedAdamw);

// Packing is the same on every instruction set; whole updates where products are fused.
TEST(PackedAdamwTargets, AgreeInEveryBit) {
  cpu::ensure_isa();
  Tensor m(DType::kF32, 0, 5003);
  Tensor v(DType::kF32, 0, 5003);
  m.random(1);
  v.random(2);
  for (std::int64_t i = 0; i < 5003; ++i) {
    const double size = std::pow(2.0, -static_cast<double>(i % 40));
    m.set(0, i, m.at(i) * size);
    v.set(0, i, std::abs(v.at(i)) * size);
  }
  for (const MomentCode code : {MomentCode::kBf16, MomentCode::kInt8}) {
    std::vector<std::vector<std::byte>> packed;
    std::vector<std::vector<std::byte>> updated;
    for (const Isa isa : isas_of_this_machine()) {
      cpu::use_isa(isa);
      Packed moments(code, 5003, 100);
      pack_moments(Stream(), m.view(), v.view(), moments.view());
      Tensor back_m(DType::kF32, 0, 5003);
      Tensor back_v(DType::kF32, 0, 5003);
      expand_moments(Stream(), moments.view(), back_m.view(), back_v.view());
      packed.push_back(moments.bytes());
      const std::vector<std::byte> expanded = bytes_of({&back_m, &back_v});
      packed.back().insert(packed.back().end(), expanded.begin(), expanded.end());
      if (isa != Isa::kScalar) {
        State state = trained(DType::kF32, code, 5003, 100);
        updated.push_back(state.moments.bytes());
        const std::vector<std::byte> w = state.w.bytes();
        updated.back().insert(updated.back().end(), w.begin(), w.end());
      }
    }
    cpu::use_isa(active_isa());
    for (const auto& one : packed) {
      EXPECT_TRUE(one == packed.front());
    }
    for (const auto& one : updated) {
      EXPECT_TRUE(one == updated.front());
    }
  }
}

}  // namespace
}  // namespace finescale
