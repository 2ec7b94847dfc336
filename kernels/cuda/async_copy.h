// SPDX-License-Identifier: Apache-2.0
// Copies of 16 bytes from memory to shared memory that go on while a thread computes (cp.async of
// sm_80 and later). The emulator makes them when they are waited for, not before, and refuses a
// thread that ends without having waited: what nobody uses is perhaps not there to be read.
#pragma once

#ifdef FINESCALE_CUDA_EMULATION
#include <exception>
#endif

#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

// Those of one thread. Both sides lie on 16 bytes.
class AsyncCopies {
 public:
#ifndef FINESCALE_CUDA_EMULATION
  // Zeros when not `there`; then nothing is read.
  __device__ __forceinline__ void copy(const void* from, void* to, bool there) {
    const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
    const int size = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(address), "l"(from), "r"(size)
                 : "memory");
  }
  // What was asked for since the last call is a group.
  __device__ __forceinline__ void end_group() {
    asm volatile("cp.async.commit_group;" ::: "memory");
  }
  // Until all groups but the kLeft newest have arrived. Other threads see them after a barrier.
  template <int kLeft>
  __device__ __forceinline__ void wait() {
    asm volatile("cp.async.wait_group %0;" : : "n"(kLeft) : "memory");
  }
#else
  // Everything lies in the thread's own memory: what a kernel does with the block's is watched.
  AsyncCopies() = default;
  AsyncCopies(const AsyncCopies&) = delete;
  AsyncCopies& operator=(const AsyncCopies&) = delete;
  ~AsyncCopies() noexcept(false) {
    if (std::uncaught_exceptions() == 0) {
      FS_CHECK(end_ == 0, "a thread ends before its copies have arrived");
    }
  }
  void copy(const void* from, void* to, bool there) {
    FS_CHECK(end_ < kMost, "more copies on their way than the emulator keeps");
    copies_[end_++] = {static_cast<const uint4*>(from), static_cast<uint4*>(to), there};
  }
  void end_group() {
    FS_CHECK(num_groups_ < kMost, "more groups of copies than the emulator keeps");
    groups_[num_groups_++] = end_;
  }
  template <int kLeft>
  void wait() {
    if (num_groups_ <= kLeft) {
      return;
    }
    const int arrived = groups_[num_groups_ - kLeft - 1];
    for (int i = 0; i < arrived; ++i) {
      const Copy& one = copies_[i];
      *one.to = one.there ? *one.from : uint4{};
    }
    for (int i = arrived; i < end_; ++i) {
      copies_[i - arrived] = copies_[i];
    }
    end_ -= arrived;
    for (int i = 0; i < kLeft; ++i) {
      groups_[i] = groups_[num_groups_ - kLeft + i] - arrived;
    }
    num_groups_ = kLeft;
  }

 private:
  struct Copy {
    const uint4* from;
    uint4* to;
    bool there;
  };
  static constexpr int kMost = 64;
  Copy copies_[kMost];
  int groups_[kMost];
  int end_ = 0;
  int num_groups_ = 0;
#endif
};

}  // namespace finescale::cuda
