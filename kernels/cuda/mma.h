// SPDX-License-Identifier: Apache-2.0
// Tensor-core instructions of sm_80 and later on bf16, with f32 sums. The emulator has twins of
// them. All lanes of a warp enter. In a fragment lane l has row l / 4 (and 8 more) and columns 2 (l
// % 4) and the next (and 8 more), as PTX ISA draws it for mma.m16n8k16.
#pragma once

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/power_of_two.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

#ifndef FINESCALE_CUDA_EMULATION
// sums [16, 8] += a [16, 16] b [16, 8].
__device__ __forceinline__ void multiply_add(float (&sums)[4], const unsigned (&a)[4], unsigned b0,
                                             unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four matrices [8, 8] from shared memory: lane l gives the begin of row l % 8 of matrix l / 8 (16
// bytes) and gets of each matrix the two elements of its place in a fragment.
__device__ __forceinline__ void load_matrices(unsigned (&to)[4], const Bf16* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

// The same of the transposed matrices.
__device__ __forceinline__ void load_transposed(unsigned (&to)[4], const Bf16* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}
#else
__device__ __forceinline__ void multiply_add(float (&sums)[4], const unsigned (&a)[4], unsigned b0,
                                             unsigned b1) {
  emulation::multiply_add(sums, a, b0, b1);
}
__device__ __forceinline__ void load_matrices(unsigned (&to)[4], const Bf16* row) {
  emulation::load_matrices<false>(to, row);
}
__device__ __forceinline__ void load_transposed(unsigned (&to)[4], const Bf16* row) {
  emulation::load_matrices<true>(to, row);
}
#endif

// Two neighbouring elements of a fragment.
__device__ __forceinline__ unsigned bf16_pair(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return static_cast<unsigned>(to_storage<Bf16>(low).bits) |
         static_cast<unsigned>(to_storage<Bf16>(high).bits) << 16;
#endif
}

}  // namespace finescale::cuda
