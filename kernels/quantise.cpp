// SPDX-License-Identifier: Apache-2.0
// Making codes and scales, on the host; not in any hot path.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/parallel.h"
#include "kernels/cpu/quantised_scale.h"
#include "kernels/quantised.h"

namespace finescale {

namespace {

// QLoRA, appendix E, as the authors' library has them.
constexpr std::array<float, 16> kNf4 = {-1.0F,        -0.6961928F,  -0.52507305F, -0.39491749F,
                                        -0.28444138F, -0.18477343F, -0.09105004F, 0.0F,
                                        0.07958030F,  0.16093020F,  0.24611230F,  0.33791524F,
                                        0.44070983F,  0.56261700F,  0.72295684F,  1.0F};
// Sign, exponent, mantissa: 0, 1/2, 1, 3/2, 2, 3, 4, 6 over 6. Minus zero is a second zero.
constexpr std::array<float, 16> kFp4 = {
    0.0F,  0.5F / 6,  1.0F / 6,  1.5F / 6,  2.0F / 6,  3.0F / 6,  4.0F / 6,  1.0F,
    -0.0F, -0.5F / 6, -1.0F / 6, -1.5F / 6, -2.0F / 6, -3.0F / 6, -4.0F / 6, -1.0F};

// Code c means (c - middle) / (middle - 1): the lowest code is not used.
template <std::size_t kCount>
constexpr std::array<float, kCount> integer_levels() {
  std::array<float, kCount> levels{};
  constexpr auto kMiddle = static_cast<int>(kCount / 2);
  for (std::size_t code = 0; code < kCount; ++code) {
    const int step = code == 0 ? 1 - kMiddle : static_cast<int>(code) - kMiddle;
    levels[code] = static_cast<float>(step) / static_cast<float>(kMiddle - 1);
  }
  return levels;
}
constexpr std::array<float, 256> kInt8 = integer_levels<256>();
constexpr std::array<float, 16> kInt4 = integer_levels<16>();
constexpr std::array<float, 8> kInt3 = integer_levels<8>();
constexpr std::array<float, 4> kInt2 = integer_levels<4>();

// Levels in ascending order, with their codes.
class Rounding {
 public:
  explicit Rounding(QuantFormat format) {
    const std::span<const float> levels = levels_of(format);
    for (std::size_t code = 0; code < levels.size(); ++code) {
      sorted_.emplace_back(levels[code], static_cast<std::uint8_t>(code));
    }
    std::sort(sorted_.begin(), sorted_.end());
  }
  // In the middle of two levels the upper one.
  [[nodiscard]] std::uint8_t code_of(double value) const {
    const auto above =
        std::lower_bound(sorted_.begin(), sorted_.end(), value,
                         [](const auto& level, double wanted) { return level.first < wanted; });
    if (above == sorted_.begin()) {
      return above->second;
    }
    const auto below = above - 1;
    if (above == sorted_.end()) {
      return below->second;
    }
    return value - below->first < above->first - value ? below->second : above->second;
  }

 private:
  std::vector<std::pair<float, std::uint8_t>> sorted_;
};

// Codes of a block as the kernels read them: of 4 bits element i and i + 32 share a byte, of 2 bits
// i, i + 16, ...; of 3 bits the two lower ones come first, then the third of i, i + 8, ...
void pack(QuantFormat format, const std::array<std::uint8_t, kQuantBlock>& codes,
          std::uint8_t* out) {
  const int bits = bits_of(format);
  std::fill_n(out, block_bytes(format), std::uint8_t{0});
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const unsigned code = codes[i];
    if (bits == 8) {
      out[i] = codes[i];
    } else if (bits == 4) {
      out[i % 32] = static_cast<std::uint8_t>(out[i % 32] | code << (i / 32 * 4));
    } else {
      out[i % 16] = static_cast<std::uint8_t>(out[i % 16] | (code & 3U) << (i / 16 * 2));
    }
    if (bits == 3) {
      out[16 + i % 8] = static_cast<std::uint8_t>(out[16 + i % 8] | code >> 2 << (i / 8));
    }
  }
}

double element(const TensorView& matrix, std::int64_t row, std::int64_t column) {
  const std::int64_t at = row * matrix.row_stride + column;
  return matrix.dtype == DType::kF64 ? matrix.as<double>()[at] : double{matrix.as<float>()[at]};
}

}  // namespace

int bits_of(QuantFormat format) noexcept {
  switch (format) {
    case QuantFormat::kInt8:
      return 8;
    case QuantFormat::kNf4:
    case QuantFormat::kFp4:
    case QuantFormat::kInt4:
      return 4;
    case QuantFormat::kInt3:
      return 3;
    case QuantFormat::kInt2:
      return 2;
  }
  return 0;
}

std::span<const float> levels_of(QuantFormat format) {
  switch (format) {
    case QuantFormat::kNf4:
      return kNf4;
    case QuantFormat::kFp4:
      return kFp4;
    case QuantFormat::kInt8:
      return kInt8;
    case QuantFormat::kInt4:
      return kInt4;
    case QuantFormat::kInt3:
      return kInt3;
    case QuantFormat::kInt2:
      return kInt2;
  }
  return {};
}

QuantisedBlocks quantise(QuantFormat format, const TensorView& matrix) {
  const std::int64_t blocks = (matrix.cols() + kQuantBlock - 1) / kQuantBlock;
  const std::int64_t bytes = block_bytes(format);
  QuantisedBlocks out;
  out.codes.resize(static_cast<std::size_t>(matrix.rows() * blocks * bytes));
  out.scales.resize(static_cast<std::size_t>(matrix.rows() * blocks));
  const Rounding rounding(format);
  parallel_for(matrix.rows(), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t at = begin * blocks; at < end * blocks; ++at) {
      const std::int64_t row = at / blocks;
      const std::int64_t first = at % blocks * kQuantBlock;
      const std::int64_t count = std::min(kQuantBlock, matrix.cols() - first);
      double largest = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        largest = std::max(largest, std::abs(element(matrix, row, first + i)));
      }
      float& scale = out.scales[static_cast<std::size_t>(at)];
      scale = static_cast<float>(largest);
      std::array<std::uint8_t, kQuantBlock> codes{};
      codes.fill(rounding.code_of(0));
      for (std::int64_t i = 0; scale > 0 && i < count; ++i) {
        codes[static_cast<std::size_t>(i)] =
            rounding.code_of(element(matrix, row, first + i) / double{scale});
      }
      pack(format, codes, out.codes.data() + at * bytes);
    }
  });
  return out;
}

QuantisedScales quantise_scales(std::span<const float> scales) {
  QuantisedScales out;
  out.codes.resize(scales.size());
  double sum = 0;
  for (const float scale : scales) {
    sum += double{scale};
  }
  out.mean = scales.empty() ? 0 : static_cast<float>(sum / static_cast<double>(scales.size()));
  constexpr auto kGroup = static_cast<std::size_t>(kScaleGroup);
  for (std::size_t first = 0; first < scales.size(); first += kGroup) {
    const std::size_t end = std::min(scales.size(), first + kGroup);
    double largest = 0;
    for (std::size_t i = first; i < end; ++i) {
      largest = std::max(largest, std::abs(double{scales[i]} - double{out.mean}));
    }
    const auto factor = static_cast<float>(largest / 127);
    out.factors.push_back(factor);
    for (std::size_t i = first; i < end; ++i) {
      const double steps =
          factor > 0 ? std::round((double{scales[i]} - double{out.mean}) / double{factor}) : 0;
      out.codes[i] = static_cast<std::uint8_t>(128 + std::clamp(steps, -127.0, 127.0));
    }
  }
  return out;
}

}  // namespace finescale

namespace finescale::cpu {

float scale_of(const QuantisedMatrix& matrix, std::int64_t row, std::int64_t block) {
  return matrix.scale(row, block);
}

}  // namespace finescale::cpu
