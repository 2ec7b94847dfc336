// SPDX-License-Identifier: Apache-2.0
#include "kernels/quantised.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/quantised.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/quantised_scale.h"

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

constexpr std::size_t kBlock = kQuantBlock;

// Codes of a block, one byte each; the layout is that of pack().
HWY_INLINE void unpack(QuantFormat format, const std::uint8_t* HWY_RESTRICT from,
                       std::uint8_t* HWY_RESTRICT codes) {
  switch (format) {
    case QuantFormat::kInt8:
      std::copy_n(from, kBlock, codes);
      return;
    case QuantFormat::kNf4:
    case QuantFormat::kFp4:
    case QuantFormat::kInt4:
      for (std::size_t i = 0; i < 32; ++i) {
        codes[i] = from[i] & 15;
        codes[32 + i] = from[i] >> 4;
      }
      return;
    case QuantFormat::kInt3:
    case QuantFormat::kInt2:
      for (std::size_t part = 0; part < 4; ++part) {
        for (std::size_t i = 0; i < 16; ++i) {
          codes[16 * part + i] = static_cast<std::uint8_t>(from[i] >> (2 * part) & 3);
        }
      }
      break;
  }
  if (format == QuantFormat::kInt3) {
    for (std::size_t part = 0; part < 8; ++part) {
      for (std::size_t i = 0; i < 8; ++i) {
        const int bit = from[16 + i] >> part & 1;
        codes[8 * part + i] = static_cast<std::uint8_t>(codes[8 * part + i] | bit << 2);
      }
    }
  }
}

// level * scale of every code. Up to 16 levels fit two vectors of 8.
void expand(std::span<const float> levels, const std::uint8_t* HWY_RESTRICT codes, float scale,
            float* HWY_RESTRICT out) {
  const hn::CappedTag<float, 8> d;
  if (hn::Lanes(d) < 8 || levels.size() > 16) {
    for (std::size_t i = 0; i < kBlock; ++i) {
      out[i] = levels[codes[i]] * scale;
    }
    return;
  }
  const hn::Rebind<std::int32_t, decltype(d)> di;
  const hn::Rebind<std::uint8_t, decltype(d)> d8;
  HWY_ALIGN std::array<float, 16> table{};
  std::copy(levels.begin(), levels.end(), table.begin());
  const auto low = hn::Load(d, table.data());
  const auto high = hn::Load(d, table.data() + 8);
  const auto factor = hn::Set(d, scale);
  const auto seven = hn::Set(di, 7);
  for (std::size_t i = 0; i < kBlock; i += 8) {
    const auto code = hn::PromoteTo(di, hn::LoadU(d8, codes + i));
    const auto place = hn::IndicesFromVec(d, hn::And(code, seven));
    const auto is_high = hn::RebindMask(d, hn::Gt(code, seven));
    const auto level = hn::IfThenElse(is_high, hn::TableLookupLanes(high, place),
                                      hn::TableLookupLanes(low, place));
    hn::StoreU(hn::Mul(level, factor), d, out + i);
  }
}

// Row `row`, columns [column, column + count).
template <class T>
void dequantise_row(const QuantisedMatrix& m, std::int64_t row, std::int64_t column,
                    std::int64_t count, T* out) {
  const std::span<const float> levels = levels_of(m.format);
  const std::int64_t bytes = block_bytes(m.format);
  HWY_ALIGN std::array<std::uint8_t, kBlock> codes{};
  HWY_ALIGN std::array<float, kBlock> values{};
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t place = m.phase + column + done;
    const std::int64_t block = place / kQuantBlock;
    const std::int64_t inside = place % kQuantBlock;
    const std::int64_t some = std::min(kQuantBlock - inside, count - done);
    unpack(m.format, m.codes + (row * m.blocks() + block) * bytes, codes.data());
    const float scale = scale_of(m, row, block);
    const std::int64_t first = std::exchange(done, done + some);
    if constexpr (std::is_same_v<T, float>) {
      if (some == kQuantBlock) {
        expand(levels, codes.data(), scale, out + first);
        continue;
      }
    }
    expand(levels, codes.data(), scale, values.data());
    for (std::int64_t i = 0; i < some; ++i) {
      out[first + i] = static_cast<T>(values[static_cast<std::size_t>(inside + i)]);
    }
  }
}

void dequantise_rows(const QuantisedMatrix& matrix, std::int64_t row, std::int64_t column,
                     const TensorView& out, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    if (out.dtype == DType::kF64) {
      dequantise_row(matrix, row + i, column, out.cols(), out.as<double>() + i * out.row_stride);
    } else {
      dequantise_row(matrix, row + i, column, out.cols(), out.as<float>() + i * out.row_stride);
    }
  }
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(dequantise_rows);

void dequantise(const Stream& /*stream*/, const QuantisedMatrix& matrix, std::int64_t row,
                std::int64_t column, const TensorView& out) {
  ensure_isa();
  const std::int64_t grain = 1 + kGrainElements / std::max<std::int64_t>(1, out.cols());
  parallel_for(out.rows(), grain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(dequantise_rows)(matrix, row, column, out, begin, end);
  });
}

}  // namespace finescale::cpu
#endif
