// SPDX-License-Identifier: Apache-2.0
// One thread team per process (OpenMP, shared with the GEMM library). Never nested; called from the
// main thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace finescale {

// Of this process, vendor GEMM included; at least 1. The threads flush denormal numbers to zero.
void set_num_threads(int threads);
[[nodiscard]] int num_threads() noexcept;

// Waiting threads spin for about 20 us and then sleep. OpenMP's default, milliseconds, makes
// training on cores that others use too 40 times slower (docs/measurements.md). The library reads
// its environment when it is loaded, so the program starts itself once more; call it first in main.
// Does nothing when GOMP_SPINCOUNT or OMP_WAIT_POLICY is set.
void limit_spinning(char** argv);

// While it lives, libraries that this thread calls do not start threads.
class OneThread {
 public:
  OneThread() noexcept;
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

namespace internal {
void parallel_run(std::int64_t count, std::int64_t grain,
                  void (*body)(void*, std::int64_t, std::int64_t), void* context);
void parallel_run_dynamic(std::int64_t count, void (*body)(void*, std::int64_t), void* context);
}  // namespace internal

// Calls body(begin, end) on disjoint pieces of [0, count), each of at least `grain` items except
// the last. A piece's result must not depend on where the cuts are: then no bit depends on the
// number of threads.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  internal::parallel_run(
      count, grain,
      [](void* context, std::int64_t begin, std::int64_t end) {
        (*static_cast<Plain*>(context))(begin, end);
      },
      const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

// Calls body(index) for every index of [0, count), each thread taking the next when it is free: for
// items of unequal size whose results do not meet.
template <class Body>
void parallel_items(std::int64_t count, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  internal::parallel_run_dynamic(
      count, [](void* context, std::int64_t index) { (*static_cast<Plain*>(context))(index); },
      const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

}  // namespace finescale
