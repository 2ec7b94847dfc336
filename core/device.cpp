// SPDX-License-Identifier: Apache-2.0
#include "core/device.h"

#include <cstdlib>
#include <string_view>

#include "core/error.h"

namespace finescale {

const char* isa_name(Isa isa) noexcept {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "?";
}

Isa detected_isa() noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512cd")) {
    return Isa::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return Isa::kAvx2;
  }
#endif
  return Isa::kScalar;
}

Isa active_isa() {
  const Isa best = detected_isa();
  const char* text = std::getenv("FINESCALE_ISA");
  if (text == nullptr || *text == '\0') {
    return best;
  }
  const std::string_view word(text);
  for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
    if (word == isa_name(isa)) {
      return isa < best ? isa : best;
    }
  }
  throw Error(ErrorKind::kConfig, "FINESCALE_ISA is \"" + std::string(word) + "\"", {},
              "use scalar, avx2 or avx512, or unset it");
}

}  // namespace finescale
