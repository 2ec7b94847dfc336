// SPDX-License-Identifier: Apache-2.0
// Which Highway targets the CPU kernels are compiled for: a portable one (Isa::kScalar), AVX2 and
// AVX-512. To be included in front of hwy/foreach_target.h, by the kernels of this folder only.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
