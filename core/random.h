// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011). The key says what the number
// is for, never the order in which numbers are asked for, so ranks, threads and resumes cannot
// change them.
#pragma once

#include <array>
#include <cstdint>

namespace finescale {

enum class Purpose : std::uint32_t {
  kWeights = 1,
  kAdapter,
  kOrder,
  kSubset,
  kDropout,
  kSearch,
  kBootstrap,
  kSimulation,
  kJitter,
  kTest,
  kRounding,
  kSampling,
  kTask
};

// Four 32-bit words for (seed, purpose, a, b): a and b are the caller's counters (step, global
// example index, ...).
[[nodiscard]] std::array<std::uint32_t, 4> philox(std::uint64_t seed, Purpose purpose,
                                                  std::uint64_t a, std::uint64_t b) noexcept;

// A stream of numbers with its own position; copies are independent.
class Random {
 public:
  Random(std::uint64_t seed, Purpose purpose, std::uint64_t stream = 0) noexcept;
  [[nodiscard]] std::uint32_t next_u32() noexcept;
  [[nodiscard]] std::uint64_t next_u64() noexcept;
  [[nodiscard]] double uniform() noexcept;                      // [0, 1), 53 bits
  [[nodiscard]] std::uint64_t below(std::uint64_t n) noexcept;  // [0, n), unbiased
  [[nodiscard]] double normal() noexcept;                       // mean 0, variance 1 (Box-Muller)

 private:
  std::uint64_t seed_;
  Purpose purpose_;
  std::uint64_t stream_;
  std::uint64_t counter_ = 0;
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
  bool has_spare_ = false;
  double spare_ = 0;
};

// Element `index` of the permutation of [0, n) keyed by (seed, purpose): a Feistel network with
// cycle walking, so any element costs O(1) and no table is kept.
class Permutation {
 public:
  Permutation(std::uint64_t n, std::uint64_t seed, Purpose purpose) noexcept;
  [[nodiscard]] std::uint64_t operator[](std::uint64_t index) const noexcept;
  [[nodiscard]] std::uint64_t size() const noexcept { return n_; }

 private:
  std::uint64_t n_;
  std::uint64_t seed_;
  Purpose purpose_;
  int half_bits_;
};

}  // namespace finescale
