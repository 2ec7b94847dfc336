// SPDX-License-Identifier: Apache-2.0
// Where an operation runs. A Stream is an ordered queue of operations: on the CPU they run at once
// on the calling thread's team; on CUDA they are enqueued. Every kernel takes one, so model code
// does not know the device.
#pragma once

#include <cstddef>
#include <string>

namespace finescale {

enum class DeviceType { kCpu, kCuda };

// Instruction sets the CPU kernels are compiled for; chosen at run time, capped by FINESCALE_ISA.
enum class Isa { kScalar, kAvx2, kAvx512 };

[[nodiscard]] const char* isa_name(Isa isa) noexcept;
[[nodiscard]] Isa detected_isa() noexcept;  // best of this machine, ignoring the environment
// The ISA in force: FINESCALE_ISA=scalar|avx2|avx512 caps what was detected (oneDNN is capped
// alike). Throws kConfig for another word.
[[nodiscard]] Isa active_isa();

// What matrix products of f32 tensors (layers, the head, attention) multiply; sums are f32 in any
// case. kBf16: operands rounded to bf16, to nearest, ties to even.
enum class Products { kF32, kBf16 };

class Gpu;
class KernelObserver;

class Stream {
 public:
  explicit Stream(DeviceType type = DeviceType::kCpu, KernelObserver* observer = nullptr,
                  Gpu* gpu = nullptr) noexcept
      : type_(type), observer_(observer), gpu_(gpu) {}
  [[nodiscard]] DeviceType type() const noexcept { return type_; }
  [[nodiscard]] bool on_gpu() const noexcept { return type_ == DeviceType::kCuda; }
  // Told of every kernel; null: nobody asks. Outlives the stream.
  [[nodiscard]] KernelObserver* observer() const noexcept { return observer_; }
  // Whose queue it is; null on the CPU. Outlives the stream.
  [[nodiscard]] Gpu* gpu() const noexcept { return gpu_; }
  [[nodiscard]] Products products() const noexcept { return products_; }
  [[nodiscard]] Stream with_products(Products products) const noexcept {
    Stream stream = *this;
    stream.products_ = products;
    return stream;
  }

 private:
  DeviceType type_;
  KernelObserver* observer_;
  Gpu* gpu_;
  Products products_ = Products::kF32;
};

}  // namespace finescale
