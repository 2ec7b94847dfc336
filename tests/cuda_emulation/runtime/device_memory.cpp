// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/runtime/device_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <new>
#include <stdexcept>

namespace finescale::cuda::emulation {

namespace {

constexpr std::size_t kRange = std::size_t{64} << 30;  // addresses, not memory
constexpr std::size_t kMark = 256;                     // bytes in front and behind
constexpr std::size_t kPage = 4096;
// Of large pages, where the system has them: whoever opens and closes the memory around every piece
// of work pays for each page of it.
constexpr std::size_t kLargePage = std::size_t{2} << 20;
constexpr std::byte kMarkByte{0xA5};

std::size_t rounded(std::size_t size, std::size_t unit) {
  return (size + unit - 1) / unit * unit;
}

}  // namespace

DeviceMemory::DeviceMemory()
    : mapping_(::mmap(nullptr, kRange + kLargePage, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
  if (mapping_ == MAP_FAILED) {
    throw std::bad_alloc();
  }
  auto* const begin = static_cast<std::byte*>(mapping_);
  base_ = begin + (kLargePage - reinterpret_cast<std::uintptr_t>(begin) % kLargePage) % kLargePage;
  (void)::madvise(base_, kRange, MADV_HUGEPAGE);  // or there are none
}

DeviceMemory::~DeviceMemory() {
  ::munmap(mapping_, kRange + kLargePage);
}

void DeviceMemory::protect(bool open) const {
  if (top_ > 0) {
    ::mprotect(base_, top_, open ? PROT_READ | PROT_WRITE : PROT_NONE);
  }
}

DeviceMemory::Window::Window(DeviceMemory& memory) : memory_(&memory) {
  if (memory_->num_windows_++ == 0) {
    memory_->protect(true);
  }
}

DeviceMemory::Window::~Window() {
  if (--memory_->num_windows_ == 0) {
    memory_->protect(false);
  }
}

std::string DeviceMemory::start(int devices, std::size_t size_bytes) {
  std::string damage;
  {
    const Window window(*this);
    for (const auto& [begin, allocation] : allocations_) {
      damage += marks_are_whole(begin, allocation.size_bytes) ? "" : "marks written over, ";
    }
    if (top_ > 0) {
      ::madvise(base_, top_, MADV_DONTNEED);
    }
  }
  allocations_.clear();
  top_ = 0;
  limit_ = size_bytes;
  used_.assign(static_cast<std::size_t>(devices), 0);
  return damage;
}

void* DeviceMemory::allocate(int device, std::size_t size_bytes) {
  std::size_t& used = used_[static_cast<std::size_t>(device)];
  const std::size_t whole = rounded(size_bytes + 2 * kMark, kPage);
  if (used + size_bytes > limit_ || top_ + whole > kRange) {
    return nullptr;
  }
  std::byte* const begin = base_ + top_ + kMark;
  top_ += whole;
  used += size_bytes;
  allocations_.emplace(begin, Allocation{size_bytes, device});
  const Window window(*this);
  protect(true);  // a window that was open knows nothing of it
  std::memset(begin - kMark, static_cast<int>(kMarkByte), whole);
  std::memset(begin, 0xFF, size_bytes);
  return begin;
}

bool DeviceMemory::marks_are_whole(std::byte* begin, std::size_t size_bytes) const {
  const auto is_whole = [](const std::byte* from, std::size_t count) {
    return std::all_of(from, from + count, [](std::byte byte) { return byte == kMarkByte; });
  };
  const std::size_t behind = rounded(size_bytes + 2 * kMark, kPage) - kMark - size_bytes;
  return is_whole(begin - kMark, kMark) && is_whole(begin + size_bytes, behind);
}

bool DeviceMemory::release(void* memory) {
  const auto found = allocations_.find(static_cast<std::byte*>(memory));
  if (found == allocations_.end()) {
    return false;
  }
  const Allocation allocation = found->second;
  const Window window(*this);
  const bool whole = marks_are_whole(found->first, allocation.size_bytes);
  used_[static_cast<std::size_t>(allocation.device)] -= allocation.size_bytes;
  ::madvise(found->first - kMark, rounded(allocation.size_bytes + 2 * kMark, kPage), MADV_DONTNEED);
  allocations_.erase(found);
  if (!whole) {
    throw std::runtime_error("a kernel wrote outside of an allocation");
  }
  return true;
}

int DeviceMemory::find(const void* memory, std::size_t size_bytes) const {
  auto* const address = static_cast<std::byte*>(const_cast<void*>(memory));
  auto found = allocations_.upper_bound(address);
  if (found == allocations_.begin()) {
    return -1;
  }
  --found;
  const bool inside = address + size_bytes <= found->first + found->second.size_bytes;
  return inside ? found->second.device : -1;
}

std::size_t DeviceMemory::free_bytes(int device) const {
  return limit_ - used_[static_cast<std::size_t>(device)];
}

}  // namespace finescale::cuda::emulation
