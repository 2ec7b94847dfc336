// SPDX-License-Identifier: Apache-2.0
// Tests on the emulated machine: a fresh one for each, with one GPU that is opened.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "core/gpu.h"
#include "core/random.h"
#include "core/transfer.h"
#include "tests/cuda_emulation/runtime/machine.h"

namespace finescale {

inline cuda::emulation::Pace pace_of(cuda::emulation::Pace pace) {
  return pace;
}
template <class Told>
cuda::emulation::Pace pace_of(const Told& told) {
  return told.pace;
}

// Told: a pace, or something that has one.
template <class Told>
class OnGpuOf : public testing::TestWithParam<Told> {
 protected:
  void SetUp() override {
    cuda::emulation::start_machine({.pace = pace_of(this->GetParam()), .seed = 3});
    gpu_ = std::make_unique<Gpu>(0, 2);
  }
  // The next start_machine() tells of what was left behind.
  void TearDown() override {
    gpu_.reset();
    cuda::emulation::start_machine({});
  }
  [[nodiscard]] Stream stream() const { return gpu_->stream(); }

  std::unique_ptr<Gpu> gpu_;
};
using OnGpu = OnGpuOf<cuda::emulation::Pace>;

inline std::string pace_name(const testing::TestParamInfo<cuda::emulation::Pace>& info) {
  switch (info.param) {
    case cuda::emulation::Pace::kLate:
      return "late";
    case cuda::emulation::Pace::kEager:
      return "eager";
    case cuda::emulation::Pace::kRandom:
      return "random";
  }
  return "";
}

inline auto all_paces() {
  using cuda::emulation::Pace;
  return testing::Values(Pace::kLate, Pace::kEager, Pace::kRandom);
}

// A tensor with the same values on the host and on the GPU.
class Twin {
 public:
  Twin(const Stream& stream, DType dtype, Shape shape)
      : stream_(stream),
        host_(TensorView(nullptr, dtype, shape).size_bytes()),
        device_(host_.size_bytes(), stream),
        shape_(shape),
        dtype_(dtype) {}
  // Normal random numbers.
  Twin(const Stream& stream, DType dtype, Shape shape, std::uint64_t seed)
      : Twin(stream, dtype, shape) {
    Random numbers(seed, Purpose::kTest);
    for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
      const double value = numbers.normal();
      if (dtype == DType::kF64) {
        host().as<double>()[i] = value;
      } else {
        host().as<float>()[i] = static_cast<float>(value);
      }
    }
    upload();
  }
  Twin(const Stream& stream, const std::vector<std::int32_t>& ids)
      : Twin(stream, DType::kI32, Shape{static_cast<std::int64_t>(ids.size())}) {
    std::copy(ids.begin(), ids.end(), host().as<std::int32_t>());
    upload();
  }
  void upload() { copy_to_device(stream_, host_.data(), device_.data(), host_.size_bytes()); }
  [[nodiscard]] TensorView host() const { return {host_.data(), dtype_, shape_}; }
  [[nodiscard]] TensorView gpu() const { return {device_.data(), dtype_, shape_}; }
  // Of the elements of both, in the unit of the largest of the host's.
  [[nodiscard]] double difference() const { return difference_from(*this); }
  // From those that the other has on the host.
  [[nodiscard]] double difference_from(const Twin& other) const {
    AlignedBuffer got(host_.size_bytes());
    copy_to_host(stream_, device_.data(), got.data(), host_.size_bytes());
    double most = 0;
    double largest = 1e-300;
    for (std::int64_t i = 0; i < shape_.num_elements(); ++i) {
      const double wanted = other.at(other.host_.data(), i);
      const double found = at(got.data(), i);
      most = std::isfinite(found) ? std::max(most, std::abs(found - wanted)) : INFINITY;
      largest = std::max(largest, std::abs(wanted));
    }
    return most / largest;
  }

 private:
  [[nodiscard]] double at(const void* data, std::int64_t i) const {
    switch (dtype_) {
      case DType::kF64:
        return static_cast<const double*>(data)[i];
      case DType::kI32:
        return static_cast<const std::int32_t*>(data)[i];
      case DType::kBf16:
        return std::bit_cast<float>(std::uint32_t{static_cast<const std::uint16_t*>(data)[i]}
                                    << 16);
      default:
        return static_cast<const float*>(data)[i];
    }
  }
  Stream stream_;
  AlignedBuffer host_;
  AlignedBuffer device_;
  Shape shape_;
  DType dtype_;
};

}  // namespace finescale
