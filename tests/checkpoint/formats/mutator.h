// SPDX-License-Identifier: Apache-2.0
// Damage to the bytes of a file.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

namespace finescale {

// FINESCALE_FUZZ_SECONDS, else a second.
inline double fuzz_seconds() {
  const char* given = std::getenv("FINESCALE_FUZZ_SECONDS");
  return given == nullptr ? 1.0 : std::atof(given);
}

// Flips, overwrites, numbers at the edges of types, cuts and insertions; the same from a seed.
class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next(std::uint64_t below) {  // SplitMix64
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return (z ^ z >> 31) % below;
  }

  void damage(std::string& bytes) {
    for (std::uint64_t i = next(3) + 1; i > 0 && !bytes.empty(); --i) {
      const std::size_t at = next(bytes.size());
      switch (next(5)) {
        case 0:
          bytes[at] = static_cast<char>(bytes[at] ^ 1 << next(8));
          break;
        case 1:
          bytes[at] = static_cast<char>(next(256));
          break;
        case 2:
          put(bytes, at, interesting());
          break;
        case 3:
          bytes.resize(at);
          break;
        default:
          bytes.insert(at, bytes.substr(next(bytes.size()), next(64)));
      }
    }
  }

 private:
  std::uint64_t interesting() {
    const std::uint64_t base = std::uint64_t{1} << next(64);
    return next(2) == 0 ? base - next(3) : ~base + next(3);
  }
  void put(std::string& bytes, std::size_t at, std::uint64_t value) {
    const std::size_t size = std::size_t{1} << next(4);
    std::memcpy(bytes.data() + at, &value, std::min(size, bytes.size() - at));
  }

  std::uint64_t state_;
};

}  // namespace finescale
