// SPDX-License-Identifier: Apache-2.0
#include "worker/model/initialize.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/hash.h"
#include "core/parallel.h"
#include "core/random.h"

namespace finescale {

void for_each_run(const Shape& whole, const LocalPart& part, const RunBody& body) {
  FS_CHECK(whole.rank == 1 || whole.rank == 2, "parameters are vectors and matrices");
  if (whole.rank == 1 || part.shape[1] == whole[1]) {  // whole rows: one run
    const std::int64_t row = whole.rank == 1 ? 1 : whole[1];
    body(part.offset[0] * row, 0, part.shape.num_elements());
    return;
  }
  for (std::int64_t r = 0; r < part.shape[0]; ++r) {
    body((part.offset[0] + r) * whole[1] + part.offset[1], r * part.shape[1], part.shape[1]);
  }
}

std::uint64_t name_stream(const std::string& name) {
  return std::stoull(hash_hex(name).substr(0, 16), nullptr, 16);
}

namespace {

// One Philox block gives one Box-Muller pair: elements 2 p and 2 p + 1 of the whole tensor.
template <class T>
void fill_normal(T* out, std::int64_t first, std::int64_t count, std::int64_t seed,
                 std::uint64_t stream, double deviation) {
  const std::int64_t last = first + count;
  const std::int64_t base = first / 2;
  parallel_for((last + 1) / 2 - base, 4096, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t pair = base + begin; pair < base + end; ++pair) {
      const auto words = philox(static_cast<std::uint64_t>(seed), Purpose::kWeights,
                                static_cast<std::uint64_t>(pair), stream);
      const double u = (static_cast<double>(words[0]) + 0.5) * 0x1.0p-32;
      const double angle = (static_cast<double>(words[1]) + 0.5) * 0x1.0p-32 * 6.283185307179586;
      const double radius = std::sqrt(-2 * std::log(u)) * deviation;
      const double even = radius * std::cos(angle);  // both at once cost little more than one
      const double odd = radius * std::sin(angle);
      if (2 * pair >= first) {
        out[2 * pair - first] = static_cast<T>(even);
      }
      if (2 * pair + 1 < last) {
        out[2 * pair + 1 - first] = static_cast<T>(odd);
      }
    }
  });
}

}  // namespace

void initialize_tensor(const DecoderShape& model, std::int64_t seed, const LogicalTensor& tensor,
                       const LocalPart& part, const TensorView& out) {
  const bool f64 = out.dtype == DType::kF64;
  if (tensor.shape.rank == 1) {
    const std::int64_t count = part.shape.num_elements();
    const double value = tensor.name.ends_with(".bias") ? 0 : 1 - model.norm_offset;
    if (f64) {
      std::fill_n(out.as<double>(), count, value);
    } else {
      std::fill_n(out.as<float>(), count, static_cast<float>(value));
    }
    return;
  }
  const std::uint64_t stream = name_stream(tensor.name);
  const double deviation = model.initializer_range;
  for_each_run(
      tensor.shape, part, [&](std::int64_t logical, std::int64_t local, std::int64_t count) {
        f64 ? fill_normal(out.as<double>() + local, logical, count, seed, stream, deviation)
            : fill_normal(out.as<float>() + local, logical, count, seed, stream, deviation);
      });
}

void initialize_weights(const ModelLayout& layout, std::int64_t seed, ParameterSet& weights) {
  for (int index = 0; index < weights.size(); ++index) {
    initialize_tensor(layout.shape(), seed, weights.tensor(index), weights.part(index),
                      weights.view(index));
  }
}

}  // namespace finescale
