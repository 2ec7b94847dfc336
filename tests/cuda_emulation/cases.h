// SPDX-License-Identifier: Apache-2.0
// The table of what is proven of the CUDA kernels' results: every operation, run once on the CPU in
// double precision and once by its CUDA source on the emulator, from the same inputs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/device.h"
#include "core/tensor.h"
#include "kernels/step_factors.h"
#include "tests/cuda_emulation/array.h"

namespace finescale {

// One of the two runs. Inputs hold the same numbers in both: such as the tested type can store.
class Side {
 public:
  Side(DeviceType device, DType tested) : stream(device), tested_(tested) {}
  [[nodiscard]] bool is_cuda() const { return stream.type() == DeviceType::kCuda; }
  [[nodiscard]] DType storage() const { return is_cuda() ? tested_ : DType::kF64; }
  // Of tables, statistics and gradients of weights, which are never bf16.
  [[nodiscard]] DType compute() const { return is_cuda() ? wide() : DType::kF64; }
  // Normal random numbers.
  [[nodiscard]] Array input(std::uint64_t seed, std::int64_t rows, std::int64_t cols,
                            std::int64_t gap = 0, double size = 1) const {
    return filled(Array(storage(), rows, cols, gap), tested_, seed, size);
  }
  [[nodiscard]] Array wide_input(std::uint64_t seed, std::int64_t rows, std::int64_t cols,
                                 std::int64_t gap = 0, double size = 1) const {
    return filled(Array(compute(), rows, cols, gap), wide(), seed, size);
  }
  // Of weights that are bf16 alone, whatever is tested: the same values on the CPU.
  [[nodiscard]] Array bf16_input(std::uint64_t seed, std::int64_t rows, std::int64_t cols,
                                 std::int64_t gap = 0) const {
    return filled(Array(is_cuda() ? DType::kBf16 : DType::kF64, rows, cols, gap), DType::kBf16,
                  seed, 1);
  }
  [[nodiscard]] Array output(std::int64_t rows, std::int64_t cols, std::int64_t gap = 0) const {
    return {storage(), rows, cols, gap};
  }
  [[nodiscard]] Array wide_output(std::int64_t rows, std::int64_t cols,
                                  std::int64_t gap = 0) const {
    return {compute(), rows, cols, gap};
  }
  Stream stream;

 private:
  [[nodiscard]] DType wide() const { return tested_ == DType::kF64 ? tested_ : DType::kF32; }
  static Array filled(Array array, DType precision, std::uint64_t seed, double size) {
    Random numbers(seed, Purpose::kTest);
    for (std::int64_t r = 0; r < array.rows(); ++r) {
      for (std::int64_t c = 0; c < array.cols(); ++c) {
        array.set(r, c, rounded_to(precision, size * numbers.normal()));
      }
    }
    return array;
  }
  DType tested_;
};

// The factors of a step where a GPU reads them.
class PlacedFactors {
 public:
  template <class Step>
  PlacedFactors(DType weights, const Step& step)
      : is_wide_(weights == DType::kF64),
        wide_(1, step_factors(step)),
        narrow_(1, rounded_to<float>(wide_[0])) {}
  [[nodiscard]] const void* data() const {
    return is_wide_ ? static_cast<const void*>(wide_.data()) : narrow_.data();
  }

 private:
  bool is_wide_;
  std::vector<StepFactors<double>, DeviceAllocator<StepFactors<double>>> wide_;
  std::vector<StepFactors<float>, DeviceAllocator<StepFactors<float>>> narrow_;
};

struct Size {
  std::int64_t rows = 1;
  std::int64_t cols = 1;
  std::int64_t more = 1;  // heads, vocabulary, ...: the operation's own
};

using Results = std::vector<std::pair<std::string, Array>>;

struct Case {
  std::string name;
  std::vector<DType> dtypes;
  std::vector<Size> sizes;
  std::vector<Size> slow_sizes;  // run under the label slow
  std::function<Results(const Side&, const Size&)> run;
  double slack = 1;  // times the tolerance of the type: longer chains of roundings
};

// Of the largest magnitude of a result: the rounding of what is stored (bf16), or another order of
// summation and other last bits of exp (f32, f64).
[[nodiscard]] inline double tolerance_of(DType stored) {
  switch (stored) {
    case DType::kBf16:
      return 4e-3;  // half a unit in the last place is at most 2^-8
    case DType::kF32:
      return 4e-6;
    default:
      return 1e-14;
  }
}

// The largest difference of two results, in the unit of the largest element wanted.
[[nodiscard]] inline double difference_of(const Array& got, const Array& wanted) {
  double error = 0;
  double size = 1e-300;
  for (std::int64_t r = 0; r < got.rows(); ++r) {
    for (std::int64_t c = 0; c < got.cols(); ++c) {
      const double value = got.at(r, c);
      const double difference = std::abs(value - wanted.at(r, c));
      error = std::max(error, std::isfinite(value) ? difference : INFINITY);
      size = std::max(size, std::abs(wanted.at(r, c)));
    }
  }
  return error / size;
}

[[nodiscard]] std::vector<Case> norm_cases();
[[nodiscard]] std::vector<Case> pointwise_cases();
[[nodiscard]] std::vector<Case> embedding_cases();
[[nodiscard]] std::vector<Case> reduce_cases();
[[nodiscard]] std::vector<Case> attention_cases();
[[nodiscard]] std::vector<Case> generation_cases();
[[nodiscard]] std::vector<Case> quantised_cases();

[[nodiscard]] inline std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const auto& cases : {norm_cases, pointwise_cases, embedding_cases, reduce_cases,
                            attention_cases, generation_cases, quantised_cases}) {
    for (Case& one : cases()) {
      all.push_back(std::move(one));
    }
  }
  return all;
}

}  // namespace finescale
