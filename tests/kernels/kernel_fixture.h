// SPDX-License-Identifier: Apache-2.0
// What the kernel tests share: tensors with rows further apart than they are wide, every
// instruction set of this machine, comparison with formulas in double precision, central
// differences.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "core/device.h"
#include "core/parallel.h"
#include "core/random.h"
#include "core/tensor.h"
#include "kernels/cpu/isa.h"

namespace finescale {

// Owns a matrix [rows, cols] or, with rows 0, a vector [cols]. Elements between the rows hold a
// mark that no kernel may touch; memory ends with the last row, so that a sanitizer sees overruns.
class Tensor {
 public:
  Tensor(DType dtype, std::int64_t rows, std::int64_t cols, std::int64_t gap = 0)
      : dtype_(dtype), rows_(rows), cols_(cols), stride_(cols + gap) {
    const std::int64_t lines = std::max<std::int64_t>(rows, 1);
    count_ = static_cast<std::size_t>((lines - 1) * stride_ + cols);
    f32_.resize(dtype == DType::kF32 ? count_ : 0);
    f64_.resize(dtype == DType::kF64 ? count_ : 0);
    for (std::size_t i = 0; i < count_; ++i) {
      set_flat(i, kMark);
    }
    for (std::int64_t r = 0; r < lines; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        set(r, c, 0);
      }
    }
  }
  Tensor& random(std::uint64_t seed, double size = 1) {
    Random numbers(seed, Purpose::kTest);
    for (std::int64_t r = 0; r < std::max<std::int64_t>(rows_, 1); ++r) {
      for (std::int64_t c = 0; c < cols_; ++c) {
        set(r, c, size * numbers.normal());
      }
    }
    return *this;
  }

  [[nodiscard]] TensorView view() {
    void* data = dtype_ == DType::kF64 ? static_cast<void*>(f64_.data()) : f32_.data();
    TensorView view(data, dtype_, rows_ == 0 ? Shape{cols_} : Shape{rows_, cols_});
    view.row_stride = rows_ == 0 ? cols_ : stride_;
    return view;
  }
  [[nodiscard]] double at(std::int64_t r, std::int64_t c) const {
    return flat(static_cast<std::size_t>(r * stride_ + c));
  }
  [[nodiscard]] double at(std::int64_t c) const { return at(0, c); }
  void set(std::int64_t r, std::int64_t c, double value) {
    set_flat(static_cast<std::size_t>(r * stride_ + c), value);
  }
  [[nodiscard]] std::int64_t rows() const { return std::max<std::int64_t>(rows_, 1); }
  [[nodiscard]] std::int64_t cols() const { return cols_; }
  [[nodiscard]] std::vector<std::byte> bytes() const {
    const auto* begin = dtype_ == DType::kF64 ? reinterpret_cast<const std::byte*>(f64_.data())
                                              : reinterpret_cast<const std::byte*>(f32_.data());
    return {begin, begin + count_ * dtype_size(dtype_)};
  }
  [[nodiscard]] bool gaps_untouched() const {
    for (std::int64_t r = 0; r + 1 < rows_; ++r) {
      for (std::int64_t c = cols_; c < stride_; ++c) {
        if (at(r, c) != kMark) {
          return false;
        }
      }
    }
    return true;
  }

 private:
  static constexpr double kMark = 12345;
  [[nodiscard]] double flat(std::size_t i) const {
    return dtype_ == DType::kF64 ? f64_[i] : double{f32_[i]};
  }
  void set_flat(std::size_t i, double value) {
    if (dtype_ == DType::kF64) {
      f64_[i] = value;
    } else {
      f32_[i] = static_cast<float>(value);
    }
  }
  DType dtype_;
  std::int64_t rows_, cols_, stride_;
  std::size_t count_ = 0;
  std::vector<float> f32_;  // one of the two is used
  std::vector<double> f64_;
};

inline std::vector<std::byte> bytes_of(std::initializer_list<const Tensor*> tensors) {
  std::vector<std::byte> all;
  for (const Tensor* tensor : tensors) {
    const std::vector<std::byte> bytes = tensor->bytes();
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  return all;
}

using Formula = std::function<double(std::int64_t row, std::int64_t col)>;

// Largest error relative to the largest magnitude of the formula's values.
inline double error_of(const Tensor& got, const Formula& wanted) {
  double error = 0;
  double size = 1e-300;
  for (std::int64_t r = 0; r < got.rows(); ++r) {
    for (std::int64_t c = 0; c < got.cols(); ++c) {
      const double w = wanted(r, c);
      error = std::max(error, std::isfinite(got.at(r, c)) ? std::abs(got.at(r, c) - w) : INFINITY);
      size = std::max(size, std::abs(w));
    }
  }
  return error / size;
}

// Rounding of sums of up to some thousand terms, a few operations deep.
inline double tolerance(DType dtype) {
  return dtype == DType::kF64 ? 1e-12 : 3e-5;
}

inline std::vector<Isa> isas_of_this_machine() {
  std::vector<Isa> isas = {Isa::kScalar};
  for (const Isa isa : {Isa::kAvx2, Isa::kAvx512}) {
    if (isa <= detected_isa()) {
      isas.push_back(isa);
    }
  }
  return isas;
}

inline void PrintTo(Isa isa, std::ostream* out) {
  *out << isa_name(isa);
}
inline void PrintTo(DType dtype, std::ostream* out) {
  *out << dtype_name(dtype);
}

// One test per instruction set and precision.
class Kernel : public testing::TestWithParam<std::tuple<Isa, DType>> {
 protected:
  void SetUp() override {
    cpu::ensure_isa();
    cpu::use_isa(std::get<0>(GetParam()));
    set_num_threads(1);
  }
  void TearDown() override {
    cpu::use_isa(active_isa());
    set_num_threads(1);
  }
  [[nodiscard]] static DType dtype() { return std::get<1>(GetParam()); }
  [[nodiscard]] static bool is_f64() { return dtype() == DType::kF64; }
  const Stream stream_;

  // run() must do all of its work on fresh outputs and return their bytes.
  static void expect_threads_change_nothing(const std::function<std::vector<std::byte>()>& run) {
    set_num_threads(1);
    const std::vector<std::byte> one = run();
    for (const int threads : {2, 3, 5}) {
      set_num_threads(threads);
      EXPECT_TRUE(run() == one) << threads << " threads";
    }
  }

  // Relative error of `gradient` against central differences of `loss` in every element of `x`.
  // Double precision only.
  static double difference_error(Tensor& x, const Tensor& gradient,
                                 const std::function<double()>& loss, double h = 1e-6) {
    double error = 0;
    double size = 0;
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      for (std::int64_t c = 0; c < x.cols(); ++c) {
        const double kept = x.at(r, c);
        x.set(r, c, kept + h);
        const double up = loss();
        x.set(r, c, kept - h);
        const double down = loss();
        x.set(r, c, kept);
        const double numeric = (up - down) / (2 * h);
        error += std::pow(numeric - gradient.at(r, c), 2);
        size += std::pow(numeric, 2);
      }
    }
    return std::sqrt(error / size);
  }
};

inline double dot(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (std::int64_t r = 0; r < a.rows(); ++r) {
    for (std::int64_t c = 0; c < a.cols(); ++c) {
      sum += a.at(r, c) * b.at(r, c);
    }
  }
  return sum;
}

inline std::string kernel_name(const testing::TestParamInfo<std::tuple<Isa, DType>>& info) {
  return std::string(isa_name(std::get<0>(info.param))) + "_" + dtype_name(std::get<1>(info.param));
}

#define FINESCALE_FOR_ALL_TARGETS(suite)                                                \
  INSTANTIATE_TEST_SUITE_P(Targets, suite,                                              \
                           testing::Combine(testing::ValuesIn(isas_of_this_machine()),  \
                                            testing::Values(DType::kF32, DType::kF64)), \
                           kernel_name)

}  // namespace finescale
