// SPDX-License-Identifier: Apache-2.0
// Owner of one C handle. Traits give `using Handle`, `static Handle invalid()`, `static void
// destroy(Handle) noexcept`.
#pragma once

#include <utility>

namespace finescale {

template <class Traits>
class UniqueHandle {
 public:
  using Handle = typename Traits::Handle;

  UniqueHandle() noexcept = default;
  explicit UniqueHandle(Handle handle) noexcept : handle_(handle) {}
  UniqueHandle(UniqueHandle&& other) noexcept
      : handle_(std::exchange(other.handle_, Traits::invalid())) {}
  UniqueHandle& operator=(UniqueHandle&& other) noexcept {
    if (this != &other) {
      reset(std::exchange(other.handle_, Traits::invalid()));
    }
    return *this;
  }
  UniqueHandle(const UniqueHandle&) = delete;
  UniqueHandle& operator=(const UniqueHandle&) = delete;
  ~UniqueHandle() { reset(); }

  [[nodiscard]] Handle get() const noexcept { return handle_; }
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != Traits::invalid(); }
  [[nodiscard]] Handle release() noexcept { return std::exchange(handle_, Traits::invalid()); }
  void reset(Handle handle = Traits::invalid()) noexcept {
    // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): it has an initialiser
    if (handle_ != Traits::invalid()) {
      Traits::destroy(handle_);
    }
    handle_ = handle;
  }

 private:
  Handle handle_ = Traits::invalid();
};

}  // namespace finescale
