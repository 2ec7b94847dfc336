// SPDX-License-Identifier: Apache-2.0
// Twins of the tensor-core instructions that kernels use. Sums run in f32 in the order of k: what
// the device rounds differently is below f32's last place of the largest term.
#pragma once

#include <array>
#include <cstring>

namespace finescale::cuda::emulation {

// Half `part` of a pair of bf16.
inline float bf16_of(const Brought& words, unsigned word, unsigned part) {
  std::uint16_t bits;
  std::memcpy(&bits, words.data() + 4 * word + 2 * part, sizeof(bits));
  return __uint_as_float(static_cast<unsigned>(bits) << 16);
}

inline void multiply_add(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                         const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const unsigned b[2] = {b0, b1};
  std::array<Brought, 32> all_a;
  std::array<Brought, 32> all_b;
  exchange_all(0xffffffffU, a, sizeof(a), all_a, file, line);
  exchange_all(0xffffffffU, b, sizeof(b), all_b, file, line);
  for (unsigned e = 0; e < 4; ++e) {
    const unsigned row = lane() / 4 + e / 2 * 8;
    const unsigned column = lane() % 4 * 2 + e % 2;
    for (unsigned k = 0; k < 16; ++k) {
      const Brought& mine = all_a[row % 8 * 4 + k % 8 / 2];
      const Brought& theirs = all_b[column * 4 + k % 8 / 2];
      sums[e] += bf16_of(mine, row / 8 + k / 8 * 2, k % 2) * bf16_of(theirs, k / 8, k % 2);
    }
  }
}

template <bool kTransposed, class Element>
void load_matrices(unsigned (&to)[4], const Element* row, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
  const uint4 mine = *reinterpret_cast<const uint4*>(row);
  std::array<Brought, 32> rows;
  exchange_all(0xffffffffU, &mine, sizeof(mine), rows, file, line);
  for (unsigned matrix = 0; matrix < 4; ++matrix) {
    std::array<std::uint16_t, 2> pair;
    for (unsigned e = 0; e < 2; ++e) {
      const unsigned high = lane() / 4;
      const unsigned low = lane() % 4 * 2 + e;
      const Brought& from = rows[8 * matrix + (kTransposed ? low : high)];
      std::memcpy(&pair[e], from.data() + 2 * (kTransposed ? high : low), 2);
    }
    std::memcpy(&to[matrix], pair.data(), sizeof(pair));
  }
}

}  // namespace finescale::cuda::emulation
