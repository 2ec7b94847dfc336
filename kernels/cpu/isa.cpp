// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/isa.h"

#include "kernels/cpu/targets.h"

#include <cstdint>

#include <hwy/highway.h>
#include <hwy/targets.h>
#include <oneapi/dnnl/dnnl.h>

namespace finescale::cpu {

namespace {

constexpr std::int64_t kPortable = HWY_EMU128 | HWY_SCALAR;

bool start() {
  const Isa isa = active_isa();
  if (isa != detected_isa()) {
    // The library has no scalar path; SSE4.1 is its lowest. Must come in front of its first call.
    dnnl_set_max_cpu_isa(isa == Isa::kAvx2 ? dnnl_cpu_isa_avx2 : dnnl_cpu_isa_sse41);
  }
  use_isa(isa);
  return true;
}

}  // namespace

void ensure_isa() {
  static const bool started = start();
  (void)started;
}

bool multiplies_bf16() {
#if defined(__x86_64__)
  return (hwy::SupportedTargets() & HWY_AVX3) != 0 && __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

void use_isa(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      hwy::SetSupportedTargetsForTest(kPortable);
      break;
    case Isa::kAvx2:
      hwy::SetSupportedTargetsForTest(HWY_AVX2 | kPortable);
      break;
    case Isa::kAvx512:
      hwy::SetSupportedTargetsForTest(HWY_AVX3 | HWY_AVX2 | kPortable);
      break;
  }
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace finescale::cpu
