// SPDX-License-Identifier: Apache-2.0
// Times operations on one GPU against what a copy on it moves.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/gpu.h"
#include "core/kernel_observer.h"
#include "core/tensor.h"
#include "core/transfer.h"

namespace finescale::bench {

// What the kernels of one call must do at least, of the outermost ones.
class LeastWork final : public KernelObserver {
 public:
  void begin() override { ++depth_; }
  void end(const KernelCall& call) override {
    --depth_;
    if (depth_ == 0) {
      flops_ += call.flops;
      bytes_ += call.bytes;
    }
  }
  [[nodiscard]] double flops() const noexcept { return flops_; }
  [[nodiscard]] double bytes() const noexcept { return bytes_; }

 private:
  int depth_ = 0;
  double flops_ = 0;
  double bytes_ = 0;
};

// Tensors of one GPU, and rows of a table: what a call takes against what it must do at least.
class GpuBench {
 public:
  GpuBench(Gpu& gpu, std::string_view filter) : gpu_(&gpu), filter_(filter) {}

  // Uniform in [-1, 1).
  TensorView tensor(Shape shape, DType dtype = DType::kF32) {
    const TensorView view = uninitialised(shape, dtype);
    std::vector<std::uint32_t> bits(view.size_bytes() / sizeof(std::uint32_t));
    for (std::uint32_t& word : bits) {
      state_ = state_ * 6364136223846793005U + 1442695040888963407U;
      const float value = static_cast<float>(static_cast<std::int32_t>(state_ >> 32)) * 0x1p-31F;
      std::memcpy(&word, &value, sizeof word);  // two bf16: the upper one is as random
      word = dtype == DType::kBf16 ? (word & 0xFFFF0000U) | word >> 16 : word;
    }
    copy_to_device(stream(), bits.data(), view.data, view.size_bytes());
    return view;
  }
  TensorView ids(const std::vector<std::int32_t>& values) {
    const TensorView view =
        uninitialised(Shape{static_cast<std::int64_t>(values.size())}, DType::kI32);
    copy_to_device(stream(), values.data(), view.data, view.size_bytes());
    return view;
  }
  TensorView words(const void* host, std::size_t size_bytes) {
    const TensorView view = uninitialised(
        Shape{static_cast<std::int64_t>(size_bytes / sizeof(std::int32_t))}, DType::kI32);
    copy_to_device(stream(), host, view.data, size_bytes);
    return view;
  }
  [[nodiscard]] Stream stream(KernelObserver* observer = nullptr) const {
    return gpu_->stream(observer);
  }
  void forget() { buffers_.clear(); }

  // Bytes per second of a copy of f32, counting both sides.
  double measure_copy(std::int64_t elements) {
    const TensorView from = tensor({elements});
    const TensorView to = tensor({elements});
    copy_rate_ = 2.0 * static_cast<double>(from.size_bytes()) / seconds_of([&](const Stream& on) {
                   copy_on_device(on, from.data, to.data, from.size_bytes());
                 });
    forget();
    return copy_rate_;
  }

  [[nodiscard]] bool wants(const std::string& name) const {
    return name.find(filter_) != std::string::npos;
  }
  // bytes: where what must move depends on values, which a call does not tell.
  void row(const std::string& name, const std::function<void(const Stream&)>& run,
           double bytes = 0) {
    if (!wants(name)) {
      return;
    }
    LeastWork work;
    run(stream(&work));
    const double moved = bytes > 0 ? bytes : work.bytes();
    const double seconds = seconds_of(run);
    std::printf("%-34s %10.1f us  %7.0f GB/s %5.1f%%  %7.1f TFLOP/s\n", name.c_str(), seconds * 1e6,
                moved / seconds / 1e9, 100 * moved / seconds / copy_rate_,
                work.flops() / seconds / 1e12);
    std::fflush(stdout);
  }

 private:
  TensorView uninitialised(Shape shape, DType dtype) {
    const std::size_t size_bytes = TensorView(nullptr, dtype, shape).size_bytes();
    buffers_.push_back(std::make_unique<AlignedBuffer>(size_bytes, stream()));
    return {buffers_.back()->data(), dtype, shape};
  }

  // Median of five runs of as many calls as take 20 ms.
  double seconds_of(const std::function<void(const Stream&)>& run) {
    using Clock = std::chrono::steady_clock;
    const auto once = [&](int calls) {
      gpu_->synchronize();
      const Clock::time_point begin = Clock::now();
      for (int i = 0; i < calls; ++i) {
        run(stream());
      }
      gpu_->synchronize();
      return std::chrono::duration<double>(Clock::now() - begin).count() / calls;
    };
    (void)once(2);
    const int calls = std::clamp(static_cast<int>(0.02 / once(3)), 3, 2000);
    std::array<double, 5> times;
    for (double& time : times) {
      time = once(calls);
    }
    std::nth_element(times.begin(), times.begin() + 2, times.end());
    return times[2];
  }

  Gpu* gpu_;
  std::string_view filter_;
  std::vector<std::unique_ptr<AlignedBuffer>> buffers_;
  std::uint64_t state_ = 1;
  double copy_rate_ = 1;
};

}  // namespace finescale::bench
